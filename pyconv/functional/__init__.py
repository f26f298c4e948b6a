"""The functions: each validates its arguments, then runs an op on arrays or records it on graph nodes.

import pyconv.functional as F
"""

# ruff: noqa: F403 (each module's __all__ is what it adds)

from pyconv.functional.activation import *
from pyconv.functional.adaptive_pool import *
from pyconv.functional.conv import *
from pyconv.functional.elementwise import *
from pyconv.functional.linear import *
from pyconv.functional.loss import *
from pyconv.functional.normalization import *
from pyconv.functional.pool import *
from pyconv.functional.random import *
from pyconv.functional.reduction import *
from pyconv.functional.resampling import *
from pyconv.functional.shape import *
from pyconv.functional.shuffle import *
from pyconv.functional.stochastic_depth import *
from pyconv.functional.unpool import *
