"""The functions: each validates its arguments, then runs an op on arrays or records it on graph nodes.

    import pyconv.functional as F
"""

from pyconv.functional.conv import *
from pyconv.functional.pool import *
from pyconv.functional.activation import *
from pyconv.functional.elementwise import *
from pyconv.functional.linear import *
from pyconv.functional.loss import *
from pyconv.functional.normalization import *
from pyconv.functional.random import *
from pyconv.functional.reduction import *
from pyconv.functional.shape import *
