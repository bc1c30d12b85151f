from importlib.metadata import distribution


def test_the_installed_onnxruntime_knows_no_address_to_report_to() -> None:
    files = distribution("onnxruntime").files or []
    libraries = [file.locate() for file in files if ".so" in file.name or file.suffix in {".dylib", ".pyd", ".dll"}]
    assert libraries
    for library in libraries:
        assert b"events.data.microsoft.com" not in library.read_bytes()  # type: ignore[attr-defined]
