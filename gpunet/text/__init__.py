"""Text as numbers and back: vocabularies, batches of unequal lengths, decoding."""

from gpunet.text.batching import bucket, pad
from gpunet.text.decoding import beam_search, generate, stream
from gpunet.text.vocabulary import ByteVocabulary, CharVocabulary, Vocabulary, WordVocabulary

__all__ = [
    "ByteVocabulary",
    "CharVocabulary",
    "Vocabulary",
    "WordVocabulary",
    "beam_search",
    "bucket",
    "generate",
    "pad",
    "stream",
]
