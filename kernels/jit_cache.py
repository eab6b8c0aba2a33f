"""The cache of compiled kernels on disk: fresh while *no* file of the CPU's under ``kernels/`` has changed.

Numba (``cache=True``) keeps compiled code beside the source, or in the user's cache folder if that cannot be written,
and stamps it with a hash of the file in which the function stands.  But a kernel contains what it calls: edit a helper
in another file, and the old code would still be loaded.  So the stamp here is a hash over all sources of the package.
Any edit recompiles everything, once; half a minute is cheaper than an hour's wondering.

Where the cache lies and what else is in its key (signature, processor, the function's byte code) stays Numba's affair.
Numba calls these classes internal; where they have moved, :func:`keep` says False and ``cache=True`` has to do.
"""

import hashlib
from functools import cache
from pathlib import Path

try:
    from numba.core.caching import FunctionCache, IndexDataCacheFile
except ImportError:
    FunctionCache = object


_OTHER_DEVICES = {"reference.py", "cuda.py"}  # nothing in them, nor in gpu/, is compiled by Numba


@cache
def stamp() -> str:
    """A hash over the names and contents of the CPU's Python files under ``kernels/``, read once a process."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    ours = (path for path in folder.rglob("*.py") if path.name not in _OTHER_DEVICES and path.parent.name != "gpu")
    for path in sorted(ours):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(source)}\n".encode() + source)
    return digest.hexdigest()


class _PackageCache(FunctionCache):
    """Numba's cache of one function, with the package's stamp in place of its file's."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp())


def keep(compiled, function) -> bool:
    """Cache the code of ``compiled``, Numba's object for ``function``, on disk.  False if Numba's internals are not as
    they were from 0.59 to 0.68."""
    try:
        kept = _PackageCache(function)
        known = hasattr(compiled, "_cache") and hasattr(kept, "_index_key")
    except (AttributeError, NameError, TypeError):
        return False
    if known:
        compiled._cache = kept
    return known
