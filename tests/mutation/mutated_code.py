"""Mutated code in a process: exchanged in loaded functions, or loaded instead of the file."""

import gc
import importlib.machinery
import importlib.util
import itertools
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from mutation.mutants import Unit

CodeKey = tuple[str, str, int]
LoadedFunctions = dict[CodeKey, list[FunctionType]]


def compile_silently(source: str, path: Path) -> CodeType:
    """Code of a module; what the compiler thinks of a mutant is not the tests' concern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, str(path), "exec", dont_inherit=True)


def loaded_functions(modules: Iterable[Path]) -> LoadedFunctions:
    """Every function object whose code comes from one of `modules`."""
    names = {str(module) for module in modules}
    found: LoadedFunctions = defaultdict(list)
    for thing in gc.get_objects():
        # Not isinstance: that would ask lazy proxies for their class, which makes them load.
        if type(thing) is FunctionType and thing.__code__.co_filename in names:
            found[_key(thing.__code__)].append(thing)
    return found


def exchange(functions: LoadedFunctions, module: Path, unit: Unit, source: str) -> bool:
    """Give the functions of `unit` the code that they have in `source`.

    Every reference to them stays valid: imported names, decorated functions, validators, closures.

    Returns:
        Whether that was possible. Otherwise the module must be imported again.
    """
    key = (str(module), unit.qualname, unit.first_line)
    new = next(
        (code for code in _codes(compile_silently(source, module)) if _key(code) == key), None
    )
    if new is None or not functions.get(key):
        return False
    old = functions[key][0].__code__
    if old.co_freevars != new.co_freevars:
        return False
    # Functions that the unit has made before, such as decorators, have code of their own.
    for before, after in itertools.zip_longest(list(_codes(old)), list(_codes(new))):
        if before is None or after is None or before.co_freevars != after.co_freevars:
            break
        for function in functions.get(_key(before), ()):
            function.__code__ = after
    return True


def _key(code: CodeType) -> CodeKey:
    return (code.co_filename, code.co_qualname, code.co_firstlineno)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._mutated = source

    def get_code(self, fullname: str) -> CodeType:
        return compile_silently(self._mutated, Path(self.path))


class MutatedModule:
    """Import hook that loads one module from other source; the file stays as it is."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source

    def install(self) -> None:
        """Make later imports of the module use the source."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's usual specification with another loader; None for other modules."""
        if name.rpartition(".")[2] not in (self._path.stem, self._path.parent.name):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None or Path(spec.origin) != self._path:
            return None
        spec.loader = _Loader(name, spec.origin, self._source)
        return spec
