"""Training: the `Trainer`, what it records, and what may watch it."""

from pyconv.train.callbacks import (
    BestModel,
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    ReduceOnPlateau,
    TensorBoard,
)
from pyconv.train.history import History
from pyconv.train.lr_finder import find_lr
from pyconv.train.metrics import F1, Accuracy, Metric, Precision, Recall, TopK, confusion_matrix
from pyconv.train.trainer import Trainer

__all__ = [
    "F1",
    "Accuracy",
    "BestModel",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "Metric",
    "Precision",
    "Recall",
    "ReduceOnPlateau",
    "TensorBoard",
    "TopK",
    "Trainer",
    "confusion_matrix",
    "find_lr",
]
