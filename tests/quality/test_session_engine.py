"""A session through SQLAlchemy: results outlive the next query, and errors are told without values."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lakehouse.engine.session import Session, open_session
from lakehouse.engine.sqlalchemy import error_without_values, is_lost, sqlalchemy_engine


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(None) as opened:
        opened.table("people", "select * from (values (1, 'Dona Florinda'), (2, 'Quico')) as t (id, name)")
        yield opened


def test_results_can_be_read_after_the_connection_was_given_back(session: Session) -> None:
    engine = sqlalchemy_engine(session.connection)
    with engine.connect() as conn:
        first = conn.execute(text("select id from people where id >= :least order by id"), {"least": 1})
        second = conn.execute(text("select count(*) from people"))
    assert second.scalar_one() == 2
    assert first.fetchone() == (1,)
    assert first.fetchmany(5) == [(2,)]
    assert first.fetchall() == []


def test_disposing_of_the_engine_leaves_the_session_open(session: Session) -> None:
    engine = sqlalchemy_engine(session.connection)
    with engine.connect() as conn:
        conn.execute(text("select 1"))
    engine.dispose()
    assert session.value("select count(*) from people") == 2


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select nope from people", "Binder Error"),
        ("select id from nowhere", "Catalog Error"),
        ("select from where", "Parser Error"),
        ("select cast(name as integer) from people", "ConversionException"),
        ("select error(name) from people", "InvalidInputException"),
    ],
)
def test_an_error_is_told_without_values(session: Session, query: str, told: str) -> None:
    with pytest.raises(duckdb.Error) as own:
        session.rows(query)
    with sqlalchemy_engine(session.connection).connect() as conn, pytest.raises(DBAPIError) as wrapped:
        conn.execute(text(query))
    for error in (own.value, wrapped.value):
        assert told in error_without_values(error)
        assert "Florinda" not in error_without_values(error)
        assert not is_lost(error)


def test_a_closed_session_is_lost() -> None:
    with open_session(None) as closed:
        pass
    with pytest.raises(duckdb.Error) as caught:
        closed.rows("select 1")
    assert is_lost(caught.value)
