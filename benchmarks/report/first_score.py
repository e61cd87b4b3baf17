"""Import to first score without torch: `python first_score.py DETECTOR IMAGE.npy THREADS` prints the seconds as JSON.

A script of its own, and not a module of this package, whose imports would be timed too.
"""

import sys
import time

begin = time.perf_counter()

from gradcon_ext.runtime import Scorer  # noqa: E402

imported = time.perf_counter()

import numpy as np  # noqa: E402

detector, image, threads = sys.argv[1:]
scores = Scorer.load(detector, threads=int(threads)).score(np.load(image))
end = time.perf_counter()

assert np.isfinite(scores.anomaly).all()
assert "torch" not in sys.modules
print(f'{{"import": {imported - begin}, "first_score": {end - begin}}}')
