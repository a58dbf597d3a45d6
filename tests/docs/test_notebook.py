"""The notebook of the docs runs from top to bottom, and needs no platform."""

from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
CHECK = """import sys
print(sorted({"prefect", "mlflow", "hydra", "tensorflow"} & set(sys.modules)))"""


def test_the_notebook_imports_places_and_plots(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "keep generated output out of git"
    notebook.cells.append(nbformat.v4.new_code_cell(CHECK))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = ["".join(out.get("text", "") for out in cell.get("outputs", [])) for cell in notebook.cells]
    assert any("co-locations measured, R2 0.9" in text for text in told)
    assert any(text.startswith("mean RPS 1.") for text in told)
    assert told[-1].strip() == "[]"
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    plots = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(plots) == 1
    assert (tmp_path / "profile.npz").is_file()
