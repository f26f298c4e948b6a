"""Metrics: against figures worked out by hand, and the same however the samples are divided into batches."""

import numpy as np
import pytest

from pyconv.train import F1, Accuracy, Precision, Recall, TopK, confusion_matrix
from pyconv.train.metrics import METRICS, as_metric, predicted

LOGITS = np.array([[3, 2, 1], [1, 3, 2], [1, 2, 3], [3, 1, 2], [2, 3, 1]], np.float32)  # says 0, 1, 2, 0, 1
LABELS = np.array([0, 1, 1, 2, 1])


def measure(metric, output, target, classes=3, parts=1):
    state = metric.start(classes)
    for o, t in zip(np.array_split(output, parts), np.array_split(target, parts), strict=True):
        metric.add(state, o, t)
    return metric.value(state)


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Accuracy(), 3 / 5),
        (TopK(2), 5 / 5),
        (Precision(), (1 / 2 + 1 + 0) / 3),
        (Recall(), (1 + 2 / 3 + 0) / 3),
        (F1(), (2 / 3 + 4 / 5 + 0) / 3),
        (as_metric(lambda output, target: target.mean()), 1.0),
    ],
)
def test_values(metric, expected, parts):
    assert measure(metric, LOGITS, LABELS, parts=parts) == pytest.approx(expected, rel=1e-12)


def test_two_classes_give_the_figures_of_the_second():
    logits = np.array([[0, 1], [0, 1], [1, 0], [1, 0]], np.float32)
    labels = np.array([1, 0, 1, 0])
    assert measure(Precision(), logits, labels, 2) == 1 / 2
    assert measure(Recall(), logits, labels, 2) == 1 / 2
    assert measure(F1(), logits[:, 1:] - 0.5, labels, 2) == 1 / 2


def test_classes_that_never_occur_do_not_count():
    assert measure(F1(), np.eye(4, dtype=np.float32)[[0, 1]], np.array([0, 1]), 4) == 1.0


def test_no_sample_gives_nan():
    for name in METRICS:
        assert np.isnan(as_metric(name).value(as_metric(name).start(3)))


def test_a_single_logit_means_two_classes():
    assert predicted(np.array([[-1.0], [2.0]])).tolist() == [0, 1]
    assert predicted(np.array([-1.0, 2.0])).tolist() == [0, 1]


def test_confusion_matrix_counts():
    assert confusion_matrix(LABELS, predicted(LOGITS), 4).tolist() == [
        [1, 0, 0, 0],
        [0, 2, 1, 0],
        [1, 0, 0, 0],
        [0] * 4,
    ]
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


def test_unknown_name():
    with pytest.raises(ValueError, match="accuracy, top3"):
        as_metric("acc")
