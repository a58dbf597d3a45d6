import pytest

from metis.wording import amount


@pytest.mark.parametrize(("count", "said"), [(0, "0 moves"), (1, "1 move"), (1200, "1,200 moves")])
def test_an_amount_is_plural_unless_it_is_one(count, said):
    assert amount(count, "move") == said
