"""Sequence to sequence: short German sentences into English, with attention.

An encoder reads the German words, a decoder writes the English ones and looks back at what was
read, anew for each word. It learns by teacher forcing and is used greedily, or with a beam that
keeps the five best beginnings.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim, text, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("I2",)


class Translator(nn.Module):
    def __init__(self, german, english, width=128):
        self.german, self.english = nn.Embedding(german, width), nn.Embedding(english, width)
        self.encoder = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.attention = nn.AdditiveAttention(width, width, width // 2)
        self.scores = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh(), nn.Dropout(0.3))
        self.words = nn.Linear(width, english)

    def encode(self, source):
        """What was read at each word (N, S, width), where padding is, the decoder's first state."""
        padding = source == text.PADDING
        read, last = self.encoder(self.german(source), lengths=(~padding).sum(1))
        return read, padding, F.concat([last[0], last[1]], 1).unsqueeze(0)

    def decode(self, target, read, padding, state):
        """Scores of the words after `target` (N, T), what each looked at (N, T, S), the state."""
        h, state = self.decoder(self.english(target), state)
        found, weights = self.attention(h, read, key_padding_mask=padding)
        return self.words(self.scores(F.concat([h, found], -1))), weights, state

    def step(self, words, state):
        """One word more, (N,), for `text.generate` and `text.beam_search`."""
        scores, _, h = self.decode(words.unsqueeze(1), *state)
        return scores[:, 0], (*state[:2], h)


def load(split, longest=9):
    """German and English sentences, the German ones of at most `longest` pieces of words."""
    pairs = data.load("multi30k", split)
    short = (pairs.inputs[:, longest:] == text.PADDING).all(1)
    both = zip(pairs.vocabularies, (pairs.inputs, pairs.targets), strict=True)
    return [[v.decode(row[row > text.END]).lower() for row in rows[short]] for v, rows in both]


def numbers(german, english, vocabularies):
    source, _ = text.pad([vocabularies[0].encode(line) for line in german])
    target = [[text.START, *vocabularies[1].encode(line), text.END] for line in english]
    return source, text.pad(target)[0]


def loss_of(model, source, target):
    """Teacher forcing: the right words go in, and those that follow them are the targets."""
    scores, _, _ = model.decode(gpunet.tensor(target[:, :-1]), *model.encode(gpunet.tensor(source)))
    wanted = gpunet.tensor(target[:, 1:].reshape(-1))
    return F.cross_entropy(scores.reshape(len(wanted), -1), wanted, ignore_index=text.PADDING)


def train(model, source, target, epochs=6):
    rng = np.random.default_rng(1)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in text.bucket((source != text.PADDING).sum(1), 64, rng):
            loss = loss_of(model, text.trim(source[rows]), text.trim(target[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@gpunet.no_grad()
def run(show: Show) -> Results:
    german, english = load("train")
    of, special = text.WordVocabulary.of, (text.SPECIALS[text.UNKNOWN], text.SPECIALS)
    vocabularies = [of("\n".join(lines), *special, 2) for lines in (german, english)]
    model = Translator(*map(len, vocabularies))
    with gpunet.enable_grad():
        train(model, *numbers(german, english, vocabularies))
    model.eval()
    german, english = load("test")
    source, target = numbers(german, english, vocabularies)
    loss = loss_of(model, source, target).item()
    start, decode = gpunet.tensor([text.START]), vocabularies[1].decode

    def best(row, width):
        state = model.encode(gpunet.tensor(text.trim(source[row : row + 1])))
        return text.beam_search(model.step, start, 15, width, state, text.END)[0]

    found = {width: [best(row, width) for row in range(6)] for width in (1, 5)}
    said = [[decode([i for i in words if i > 3]) for words, _ in each] for each in found.values()]
    columns = "German", "greedy", "beam of 5", "a translator's"
    show.table("Test sentences", columns, zip(german, *said, english, strict=False))
    show.say("Test loss {:.2f} nats a word, {:.0f} guesses for each.", loss, np.exp(loss))
    words, asked = found[5][1][0], text.trim(source[1:2])
    spoken = gpunet.tensor([[text.START, *words[:-1]]])
    weights = model.decode(spoken, *model.encode(gpunet.tensor(asked)))[1].numpy()[0]
    both = zip(vocabularies, (asked[0], words), strict=True)
    read, written = ([vocabulary.tokens[i] for i in row] for vocabulary, row in both)
    page = [viz.Looked(read, written, weights)]
    viz.attention_page(page, show.path("attention.png"), text=show.text)
    return {"loss": loss, "greedy": found[1], "beam": found[5], "weights": weights}
