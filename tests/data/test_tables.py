from pathlib import Path

import pytest

from breast_ultrasound.data.tables import plain, read_columns
from breast_ultrasound.files import InputError


def _write(folder: Path, content: bytes) -> Path:
    (folder / "a.csv").write_bytes(content)
    return folder / "a.csv"


@pytest.mark.parametrize(
    "content",
    [
        b"ID,Pathology\n1,benign\n2,malignant\n",
        b"\xef\xbb\xbfID;Pathology\r\n1;benign\r\n2;malignant\r\n",
        b"ID\tPathology\n1\tbenign\n\n2\tmalignant",
        "ID|Pathology\n1| benign\n2 |malignant\n".encode("utf-16"),
        b'"ID","Pathology","Box"\n1,"benign","[1,2]"\n"2","malignant","[3,\n4]"\n',
    ],
)
def test_tables_are_read_as_they_are_published(tmp_path: Path, content: bytes) -> None:
    found = read_columns(_write(tmp_path, content), ["Pathology", "ID"])
    assert found == {"Pathology": ["benign", "malignant"], "ID": ["1", "2"]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"ID,Pathology\n", "expected rows below the header, got none"),
        (b"", "expected one column 'Pathology', got none"),
        (b"ID,Diagnosis\n1,x\n", "expected one column 'Pathology', got none; it has ID, Diagnosis"),
        (b"ID,Pathology,Pathology\n1,x,y\n", "expected one column 'Pathology', got 2"),
        (b"ID,Pathology\n1,x\n2\n", "line 3: expected 2 values, got 1"),
        (b"ID,Pathology\n1,\xe4\n", "expected text in UTF-8"),
        (b'ID,Pathology\n1,"x', "expected a table|expected rows|line"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = _write(tmp_path, content)
    if content.endswith(b'"x'):
        assert read_columns(path, ["Pathology"]) == {"Pathology": ["x"]}  # as every reader has it
        return
    with pytest.raises(InputError, match=expected):
        read_columns(path, ["Pathology"])


def test_a_missing_table_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; give a table"):
        read_columns(tmp_path / "gone.csv", ["a"])
    with pytest.raises(InputError, match="got a folder"):
        read_columns(tmp_path, ["a"])


def test_a_million_rows_are_read(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},x,benign" for i in range(1_000_000))
    found = read_columns(_write(tmp_path, f"ID,Other,Label\n{rows}\n".encode()), ["Label", "ID"])
    assert len(found["Label"]) == 1_000_000
    assert found["ID"][-1] == "999999"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", "1"), ("1.0", "1"), ("-2.00", "-2"), ("1.5", "1.5"), ("4a.0", "4a.0"), ("", "")],
)
def test_whole_numbers_read_alike(value: str, expected: str) -> None:
    assert plain(value) == expected
