"""Pictures under keys: there until fetched and after, bounded in age and size, made by other threads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fullet_nodes.store import PictureStore

A, B, C = "a" * 32, "b" * 32, "c" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def content(store: PictureStore, key: str) -> bytes | None:
    found = store.find(key)
    if found is None:
        return None
    found[0].result(5)
    return found[2].read_bytes()


def test_a_picture_can_be_fetched_more_than_once(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    store.put(A, "image/png", lambda: b"fox")
    assert [content(store, A), content(store, A)] == [b"fox", b"fox"]
    assert store.find(A)[1] == "image/png"
    assert store.find(B) is None


def test_putting_does_not_wait_for_the_encoder(tmp_path: Path) -> None:
    store, go = PictureStore(tmp_path), threading.Event()
    store.put(A, "image/png", lambda: b"fox" if go.wait(5) else b"")
    assert not store.find(A)[0].done()
    go.set()
    assert content(store, A) == b"fox"


def test_old_pictures_go(tmp_path: Path) -> None:
    clock = Clock()
    store = PictureStore(tmp_path, max_age=10, clock=clock)
    store.put(A, "image/png", lambda: b"fox")
    content(store, A)
    clock.now = 9
    store.put(B, "image/png", lambda: b"owl")
    content(store, B)
    clock.now = 11
    assert content(store, A) is None
    assert content(store, B) == b"owl"
    store.close()
    assert [file.name[:32] for file in tmp_path.iterdir()] == [B]


def test_the_oldest_make_room(tmp_path: Path) -> None:
    clock = Clock()
    store = PictureStore(tmp_path, max_bytes=8, clock=clock)
    for now, key in enumerate((A, B, C)):
        clock.now = now
        store.put(key, "image/png", lambda: b"four")
        content(store, key)
    assert [content(store, key) for key in (A, B, C)] == [None, b"four", b"four"]


def test_a_dropped_picture_leaves_no_file_even_while_it_is_encoded(tmp_path: Path) -> None:
    store, go = PictureStore(tmp_path), threading.Event()
    store.put(A, "image/png", lambda: b"fox" if go.wait(5) else b"")
    assert store.drop(A)
    assert not store.drop(A)
    go.set()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_the_last_picture_put_under_a_key_is_the_one_there(tmp_path: Path) -> None:
    store, go = PictureStore(tmp_path, threads=2), threading.Event()
    store.put(A, "image/png", lambda: b"old" if go.wait(5) else b"")
    store.put(A, "image/webp", lambda: b"new")
    assert content(store, A) == b"new"
    go.set()
    store.close()
    assert content(store, A) == b"new"


def test_a_failure_to_encode_is_told_to_who_asks(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    store.put(A, "image/png", lambda: (_ for _ in ()).throw(ValueError("no picture")))
    with pytest.raises(ValueError, match="no picture"):
        store.find(A)[0].result(5)


def test_files_of_a_former_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"{A}.0.picture").write_bytes(b"fox")
    PictureStore(tmp_path)
    assert list(tmp_path.iterdir()) == []
