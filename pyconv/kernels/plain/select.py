"""Selection along an axis."""

import numpy as np


def argmax(y, x, axis, keepdims, smallest, last):
    """Overwrites y with the place of the largest or smallest element; NaN counts as both."""
    if last:
        x = np.flip(x, axis)
    places = (np.argmin if smallest else np.argmax)(x, axis, keepdims=keepdims)
    y[...] = x.shape[axis] - 1 - places if last else places


def top_k(y, x, axis, k, smallest):
    """Overwrites y with the places of the k largest or smallest elements in order; NaN counts as the largest."""
    if smallest:
        order = np.argsort(x, axis, kind="stable")
    else:  # turned round twice, so that of equals the first still comes first
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    y[...] = np.take(order, range(k), axis)


def take_along(y, x, places, axis):
    """Overwrites y with the elements at these places."""
    y[...] = np.take_along_axis(x, places, axis)
