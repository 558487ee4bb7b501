"""One neuron as a statistical model: the rows B1 to B5 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest

SKLEARN = "scikit-learn is missing, and its solution was NOT compared: pip install -e '.[sklearn]'"

# Nearer to a minimum than √ε a loss in float64 does not change: its rise there is of second order.
NEAR = 10 * np.sqrt(np.finfo(float).eps)


def test_B1_linear_regression(demo) -> None:
    results = demo("regression")
    error = np.linalg.norm(results["reached"] - results["closed"]) / np.linalg.norm(
        results["closed"]
    )
    assert error < 1e-4


def logistic_by_newton(X, y):
    """Weights and bias where the gradient of the mean of log(1 + exp(−y·z)) is 0."""
    A, w = np.column_stack([X, np.ones(len(X))]), np.zeros(X.shape[1] + 1)
    for _ in range(30):
        p = 1 / (1 + np.exp(-(A @ w)))
        w = w - np.linalg.solve((A * (p * (1 - p))[:, None]).T @ A, A.T @ (p - (y > 0)))
    return w


def test_B2_gradient_of_the_logistic_loss(demo) -> None:
    by_autograd, by_formula = demo("classification")["gradients"]
    np.testing.assert_allclose(by_autograd, by_formula, rtol=1e-12)


def test_B2_logistic_regression_by_sgd_and_lbfgs(demo) -> None:
    """L-BFGS as near as values tell a minimum, SGD as near as its noise lets it."""
    results = demo("classification")
    w = logistic_by_newton(results["X"], results["y"])
    np.testing.assert_allclose(np.append(*results["lbfgs"]), w, rtol=NEAR)
    np.testing.assert_allclose(np.append(*results["sgd"]), w, rtol=1e-2)


def test_B2_agrees_with_scikit_learn(demo) -> None:
    model = pytest.importorskip("sklearn.linear_model", reason=SKLEARN)
    results = demo("classification")
    theirs = model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    theirs.fit(results["X"], results["y"])
    w, b = results["lbfgs"]
    np.testing.assert_allclose(theirs.coef_, w, rtol=1e-6)
    np.testing.assert_allclose(theirs.intercept_, b, rtol=1e-6)


def test_B3_poisson_regression(demo) -> None:
    """Within four standard errors, which the information of the sample gives."""
    results = demo("regression")
    A = np.column_stack([results["x"], np.ones(len(results["x"]))])
    rates = np.exp(A @ results["true"])
    errors = np.sqrt(np.diag(np.linalg.inv((A * rates[:, None]).T @ A)))
    assert (errors < 0.02).all()
    assert (abs(results["found"] - results["true"]) < 4 * errors).all()


def test_B4_softmax_regression(demo) -> None:
    """The weights are the library's, up to what all classes may share."""
    model = pytest.importorskip("sklearn.linear_model", reason=SKLEARN)
    results = demo("classification")
    theirs = model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    theirs.fit(results["X3"], results["classes"])
    W, b = results["softmax"]
    np.testing.assert_allclose(W - W.mean(0), theirs.coef_ - theirs.coef_.mean(0), rtol=1e-5)
    shared = theirs.intercept_ - theirs.intercept_.mean()
    np.testing.assert_allclose(b - b.mean(), shared, rtol=1e-5, atol=1e-6)


def test_B4_nothing_is_left_of_the_gradient(demo) -> None:
    """At the solution Xᵀ(softmax(XWᵀ + b) − onehot) is 0, and the loss is convex."""
    results = demo("classification")
    A, (W, b) = results["X3"], results["softmax"]
    scores = np.exp(A @ W.T + b)
    residual = scores / scores.sum(1, keepdims=True) - np.eye(3)[results["classes"]]
    assert abs(np.column_stack([A, np.ones(len(A))]).T @ residual).max() / len(A) < NEAR


def test_B5_output_by_task(demo) -> None:
    """Each end learns its real table: far better than an answer that ignores the features."""
    results = demo("outputs")
    error, without = results["errors"]
    assert error < without / 2
    for part in ("right", "sorts"):
        share, without = results[part]
        assert share > 0.9 > without
    np.testing.assert_allclose(results["shares"].sum(1), 1, rtol=1e-6)
