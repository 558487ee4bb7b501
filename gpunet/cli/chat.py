"""`gpunet chat`: a talk with a trained language model, line by line.

What is said is a text of paragraphs, those of a play for example: a line that is typed is one, and
the model goes on with the text until its own ends.
"""

from __future__ import annotations

import sys
from typing import Any

from gpunet.cli.console import errors
from gpunet.cli.generate import writer
from gpunet.errors import DataError

END = "\n\n"  # of a paragraph
REMEMBERED = 1000  # characters of the talk that the model reads again before it answers


def run(options: Any) -> int:
    write, talk = writer(options, "chat"), END
    if sys.stdin.isatty():
        print("Say something; an empty line ends it.")
    while line := _line():
        try:
            characters = write((talk + line + END)[-REMEMBERED:])
        except DataError as error:  # it has never seen a character of this line
            errors.print(str(error), markup=False, style="red", soft_wrap=True)
            continue
        answer = ""
        for character in characters:
            print(character, end="", flush=True)
            answer += character
            if answer.strip() and answer.endswith(END):
                break
        if not answer.endswith(END):
            print("\n")
        talk += line + END + answer.strip() + END
    return 0


def _line() -> str:
    """What is typed; nothing at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
