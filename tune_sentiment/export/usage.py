"""Tell the finder of a bundle how to use it: the commands, the Python lines, and the ONNX file where there is one."""

_PACKAGE = """\
Texts are prepared inside: give them as they are. Run these in the folder that holds this file, or put its path in place
of the dot.

```sh
python -m tune_sentiment predict . "A film I would see again." "Two hours of my life, gone."
python -m tune_sentiment predict . --file reviews.txt --json
python -m tune_sentiment evaluate . --data my_reviews.csv
```

```python
import tune_sentiment

model = tune_sentiment.load(".")
for answer in model.predict(["A film I would see again.", "Two hours of my life, gone."]):
    print(answer.label, round(answer.probability, 3), answer.unknown_words, answer.note)
```

The weights are [safetensors](https://github.com/huggingface/safetensors), the rest is JSON and text: loading
runs no code."""

_ONNX = """\

### Without torch: `model.onnx`

The same model for [ONNX Runtime](https://onnxruntime.ai), in any of its languages; when it was written it gave the same
probabilities within 1e-5 on 1,000 reviews.

- Input `token_ids`, int64 (batch, length), both of any size: one review a row, its word ids at the end, 0 before them.
- A word's id is the number of its line in `vocabulary.txt`, from 1; a word that is not there has the id after the last.
- Words are cut as below; the model reads the first {seq_length:,} of a review and ignores the rest.
- Output `probability`, float32 (batch,): that the review is positive.

```python
import re, string
import numpy as np
import onnxruntime

ids = {{word: i for i, word in enumerate(open("vocabulary.txt", encoding="utf-8").read().split(), start=1)}}
session = onnxruntime.InferenceSession("model.onnx")

def encode(text):
    text = re.sub(r"<br\\s*/?>", " ", text.lower()).translate(str.maketrans("", "", string.punctuation))
    return [ids.get(word, len(ids) + 1) for word in text.split()]

reviews = [encode(text) for text in ["A film I would see again.", "Two hours of my life, gone."]]
token_ids = np.zeros((len(reviews), max(map(len, reviews))), dtype=np.int64)
for row, review in zip(token_ids, reviews):
    row[len(row) - len(review):] = review
print(session.run(["probability"], {{"token_ids": token_ids}})[0])
```"""


def usage(*, onnx: bool, seq_length: int) -> str:
    """Return the Markdown of a card's section "Use"; `onnx` says whether the bundle holds model.onnx."""
    return _PACKAGE + ("\n" + _ONNX.format(seq_length=seq_length) if onnx else "")
