"""Text as numbers and back: vocabularies, batches of unequal lengths, decoding."""

from gpunet.text.batching import END, PADDING, SPECIALS, START, UNKNOWN, bucket, pad, shift, trim
from gpunet.text.bleu import bleu
from gpunet.text.bpe import BPEVocabulary
from gpunet.text.decoding import beam_search, generate, stream
from gpunet.text.keeping import from_json, to_json
from gpunet.text.vocabulary import ByteVocabulary, CharVocabulary, Vocabulary, WordVocabulary

__all__ = [
    "END",
    "PADDING",
    "SPECIALS",
    "START",
    "UNKNOWN",
    "BPEVocabulary",
    "ByteVocabulary",
    "CharVocabulary",
    "Vocabulary",
    "WordVocabulary",
    "beam_search",
    "bleu",
    "bucket",
    "from_json",
    "generate",
    "pad",
    "shift",
    "stream",
    "to_json",
    "trim",
]
