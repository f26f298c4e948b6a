"""pyconv underneath your own code: functions on NumPy arrays and their gradients, without layers or trainer.

    python examples/backend.py

An image is deconvolved: given a blurred picture and the blur, gradient descent finds the picture.
"""

import numpy as np

import pyconv as pc
import pyconv.functional as F

rng = np.random.default_rng(0)
picture = np.zeros((1, 1, 24, 24))
picture[..., 6:18, 6:9] = picture[..., 6:9, 6:18] = picture[..., 15:18, 6:14] = 1
blur = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256  # weight (K, C, R, S)
seen = F.conv2d(picture, blur, padding="same") + 0.002 * rng.standard_normal(picture.shape)


def cost(guess):
    """How badly a guess explains what was seen, and how far it is from black and white."""
    return F.mean((F.conv2d(guess, blur, padding="same") - seen) ** 2) + 1e-4 * F.mean(guess * guess)


cost_and_gradient = pc.value_and_grad(cost)
guess, velocity = seen.copy(), np.zeros_like(seen)
for step in range(301):
    J, gradient = cost_and_gradient(guess)
    velocity = 0.95 * velocity - 20 * gradient
    guess = np.clip(guess + velocity, 0, 1)  # plain NumPy in between
    if step % 100 == 0:
        print(f"step {step:3}  J {J:.2e}  error {np.abs(guess - picture).mean():.4f}")

# the adjoint of the convolution by name: what value_and_grad has called
residual = F.conv2d(guess, blur, padding="same") - seen
by_hand = F.conv2d_backward_data(residual, blur, guess.shape, padding="same") * (2 / guess.size)
by_hand += 1e-4 * 2 / guess.size * guess
assert np.allclose(by_hand, cost_and_gradient(guess)[1])

# any memory order is taken as it is, channels-last too, and the result keeps it
pixels = np.ascontiguousarray(rng.random((8, 64, 64, 3), np.float32)).transpose(
    0, 3, 1, 2
)  # N, C, H, W over N, H, W, C
edges = F.conv2d(pixels, rng.standard_normal((16, 3, 3, 3)).astype(np.float32), padding=1)
print(f"channels-last in, channels-last out: strides {pixels.strides} -> {edges.strides}")
