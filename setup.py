"""Installs tinyconv: ``pip install .`` (or ``-e .``); ``make`` does it for you."""

from pathlib import Path

from setuptools import find_packages, setup

KERNELS = ["tinyconv.kernels"] + [f"tinyconv.kernels.{name}" for name in find_packages("kernels")]

setup(
    name="tinyconv",
    version="0.1.0",
    description="Deep convolutional networks from scratch: an autograd engine, kernels, and the AlexNet of 2012",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    # The kernels stand beside the engine in the source tree, and inside it once installed.
    packages=[*find_packages(include=["tinyconv", "tinyconv.*"]), *KERNELS],
    package_dir={"tinyconv": "tinyconv", "tinyconv.kernels": "kernels"},
    package_data={"tinyconv.kernels": ["*.md", "*/*.md", "*/*.cu", "*/*.cuh"],
                  "tinyconv.emulator": ["*.md", "*.h", "*.cpp"],
                  "tinyconv.data": ["embedded/*.h5", "embedded/*.md", "embedded/LICENSE*"]},
    install_requires=["numpy>=1.24", "numba>=0.59", "scipy>=1.10", "h5py>=3.8", "pillow>=9.4", "tqdm>=4.64",
                      "matplotlib>=3.7"],
    extras_require={
        "cuda12": ["cupy-cuda12x[ctk]>=14"],
        "cuda13": ["cupy-cuda13x[ctk]>=14"],
        "emulator": ["nvidia-cuda-nvrtc>=13"],  # and a C++ compiler
        "mpi": ["mpi4py>=3.1"],
        # The compiler's version is fixed: tests compare what it makes of the kernels with budgets.
        "dev": ["pytest>=7.4", "pytest-xdist>=3.2", "hypothesis>=6.80", "ruff>=0.4", "mypy>=1.8",
                "cupy-cuda13x==14.2.0", "nvidia-cuda-nvrtc==13.5.37", "nvidia-cuda-runtime==13.5.37",
                "nvidia-cuda-nvdisasm==13.5.37",
                "scikit-image>=0.22", "scikit-learn>=1.4"],  # for benchmarks.handcrafted
    },
)
