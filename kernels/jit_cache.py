"""The cache of compiled kernels on disk: fresh while *no* file of the CPU's under ``kernels/`` has changed.

Numba (``cache=True``) keeps compiled code beside the source, or in the user's cache folder if that cannot be written,
and stamps it with a hash of the file in which the function stands.  But a kernel contains what it calls: edit a helper
in another file, and the old code would still be loaded.  So the stamp here is a hash over all these sources.
Any edit recompiles everything, once; a minute is cheaper than an hour's wondering.

Each file of code also says whose code it is.  Numba keeps an index, of signatures and the names of their files, and
writes it before the code: a process that looks in between finds the file as it was, from before the edit or of another
signature, and would run that.  And two processes that compile at once may give one name to two signatures.

Where the cache lies and what is in its key (signature, processor) stays Numba's affair; but for what a function
encloses, where Numba takes other functions by a number that differs from process to process, and would never find it
again.  It is in the function's name (``jit.py``), and so in that of the file.
Numba calls these classes internal; where they have moved, :func:`keep` says False and ``cache=True`` has to do.
"""

import hashlib
from functools import cache
from pathlib import Path

try:
    from numba.core.caching import FunctionCache, IndexDataCacheFile
except ImportError:
    FunctionCache = IndexDataCacheFile = object


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


class _LabelledFile(IndexDataCacheFile):
    """Numba's index and its files of code, each with the stamp and the key that it was written for."""

    def save(self, key, data):
        super().save(key, (self._source_stamp, key, data))

    def load(self, key):
        """The code for ``key``; None, so that it is compiled, if there is none or another's lies in its place."""
        found = super().load(key)
        return found[2] if found is not None and found[:2] == (self._source_stamp, key) else None


class _PackageCache(FunctionCache):
    """Numba's cache of one function, with the package's stamp in place of its file's."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _LabelledFile(self.cache_path, self._impl.filename_base, stamp())

    def _index_key(self, sig, codegen):
        return sig, codegen.magic_tuple()


def keep(compiled, function) -> bool:
    """Cache the code of ``compiled``, Numba's object for ``function``, on disk.  False if Numba's internals are not as
    they were from 0.59 to 0.68."""
    try:
        kept = _PackageCache(function)
        known = all(map(hasattr, (compiled, kept, kept._cache_file), ("_cache", "_index_key", "_source_stamp")))
    except (AttributeError, NameError, TypeError):
        return False
    if known:
        compiled._cache = kept
    return known
