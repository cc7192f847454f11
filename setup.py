import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
init = (here / "sktagger" / "__init__.py").read_text(encoding="utf-8")

setup(
    name="sktagger",
    version=re.search(r'^__version__ = "(.+)"$', init, re.MULTILINE).group(1),
    description="Audio tagging with the scikit-learn API",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="sktagger developers",
    url="https://github.com/sktagger/sktagger",
    project_urls={
        "Source": "https://github.com/sktagger/sktagger",
        "Documentation": "https://github.com/sktagger/sktagger/blob/main/README.md",
        "Changes": "https://github.com/sktagger/sktagger/blob/main/CHANGES.md",
        "Issues": "https://github.com/sktagger/sktagger/issues",
    },
    keywords=["audio tagging", "sound event", "weak labels", "scikit-learn", "PyTorch"],
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    packages=find_packages(include=["sktagger", "sktagger.*"]),
    package_data={
        "sktagger": ["py.typed"],
        "sktagger.datasets": ["audioset_classes.csv"],
        "sktagger.reports": ["page_files/*"],
    },
    python_requires=">=3.10",
    install_requires=[
        "filelock>=3.12",
        "joblib>=1.3",
        "librosa>=0.11",
        "numpy>=1.26",
        "pandas>=2.2.1",
        "platformdirs>=3.0",
        "pooch>=1.8",
        "safetensors>=0.4.3",
        "scikit-learn>=1.6.1",
        "scipy>=1.12",
        "skorch>=1.2",
        "soundfile>=0.13",
        "soxr>=0.4",
        "tensorboardX>=2.6.2.2",
        "threadpoolctl>=3.1",
        "tomli>=2; python_version < '3.11'",
        # Tests run with 2.13 only. 2.10 is where torch.load became safe, which is not called here.
        "torch>=2.10",
        "tqdm>=4.66",
    ],
    extras_require={
        # tests of the report page, in an installed Chromium
        "browser": ["playwright>=1.49"],
        "completion": ["argcomplete>=3.1"],
        # the documentation site; these versions build it without warnings, too
        "docs": [
            "matplotlib>=3.8",
            "myst-parser>=4.0.1",
            "numpydoc>=1.8",
            "pydata-sphinx-theme>=0.16.1",
            "sphinx>=8.1.3",
            "sphinx-gallery>=0.18",
        ],
        # other implementations of the metrics of events, for tests; they need a C compiler, and
        # sed_eval imports pkg_resources, which newer versions of setuptools lack
        "oracles": ["sed_eval>=0.2.1", "sed_scores_eval>=0.0.4", "setuptools<81"],
        "parquet": ["pyarrow>=17"],
        "plot": ["matplotlib>=3.8"],
        "report": ["jinja2>=3.1", "matplotlib>=3.8", "pillow>=10"],
        "test": [
            "argcomplete>=3.1",
            "hypothesis>=6.100",
            "import-linter>=2.10",
            "iterative-stratification>=0.1.9",
            "jinja2>=3.1",
            "matplotlib>=3.8",
            "mypy>=1.17",
            "numpydoc>=1.8",
            "pillow>=10",
            "polars>=1.0",
            "pyarrow>=17",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "ruff>=0.11",
        ],
    },
    entry_points={"console_scripts": ["sktagger = sktagger.commands:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
