"""Random masks from a counter-based generator: element i depends on the key, the counter and i alone."""

import numpy as np


def dropout_mask(mask, state, p):
    """mask = 0 with probability p, else 1 / (1 - p); overwrites mask. state is uint64 (key, counter).

    Element i, counted in C order, is dropped if word i of the stream < p · 2³². The stream is that of
    `numpy.random.Philox(key=key, counter=(0, counter, 0, 0))`, its 64-bit words cut into two of 32 bits, low half first
    (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
    """
    key, counter = (int(word) for word in state)
    words = np.random.Philox(key=key, counter=counter << 64).random_raw(-(-mask.size // 2))
    words = words.astype("<u8", copy=False).view("<u4")[: mask.size].reshape(mask.shape)
    np.multiply(words >= p * 2**32, 1 / (1 - p) if p < 1 else 0, out=mask, casting="same_kind")
