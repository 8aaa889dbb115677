"""Charts show the numbers they are given: read back from the drawing, by the labels of its own axes."""

import math
from xml.etree import ElementTree

import pytest

from captioner.calibration import Bin
from captioner.pages.charts import STYLE, Series, Svg, bar_chart, line_chart, reliability_diagram

Element = ElementTree.Element


def of_class(chart: Svg, tag: str, name: str) -> list[Element]:
    return [element for element in ElementTree.fromstring(chart).iter(tag) if name in element.get("class", "").split()]


def texts(chart: Svg) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(chart).iter("text")]


def scale(chart: Svg, axis: str) -> tuple[float, float]:
    """Slope and start of the numbers along ``axis``, from the first and last label written there."""
    labels = of_class(chart, "text", "end" if axis == "y" else "middle")
    shift = 4 if axis == "y" else 0
    known = [
        (float(one.get(axis, "")) - shift, float((one.text or "").replace(",", ""))) for one in labels if number(one)
    ]
    (start, low), (end, high) = known[0], known[-1]
    slope = (high - low) / (end - start)
    return slope, low - slope * start


def number(label: Element) -> bool:
    return (label.text or "").replace(",", "").replace(".", "").lstrip("-").isdigit()


def lines(chart: Svg, colour: int) -> list[list[tuple[float, float]]]:
    (slope_x, zero_x), (slope_y, zero_y) = scale(chart, "x"), scale(chart, "y")
    found = []
    for line in of_class(chart, "polyline", f"s{colour}"):
        places = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
        found.append([(x * slope_x + zero_x, y * slope_y + zero_y) for x, y in places])
    return found


def test_lines_lie_where_their_numbers_are() -> None:
    losses, scores = [5.07, 3.56, 3.19, 2.44], [0.2, 0.34, 0.41, 0.52]
    chart = line_chart("Training", [1, 2, 3, 4], [Series("loss", losses), Series("CIDEr", scores)], x_label="epoch")
    for colour, values in enumerate((losses, scores)):
        (line,) = lines(chart, colour)
        assert [x for x, _ in line] == pytest.approx([1, 2, 3, 4], abs=0.01)
        assert [y for _, y in line] == pytest.approx(values, abs=0.005)
    assert texts(chart)[0] == "Training"
    assert {"loss", "CIDEr", "epoch"} <= set(texts(chart))
    hints = [title.text for title in ElementTree.fromstring(chart).iter("title")]
    assert hints[0] == "loss 1: 5.07"
    assert hints[-1] == "CIDEr 4: 0.52"


def test_epochs_are_labelled_by_whole_numbers_and_large_ones_by_few() -> None:
    few = line_chart("t", [1, 2, 3], [Series("", [1, 2, 3])])
    assert [one.text for one in of_class(few, "text", "middle") if number(one)] == ["1", "2", "3"]
    many = line_chart("t", range(1, 31), [Series("", [1.0] * 30)])
    assert [one.text for one in of_class(many, "text", "middle") if number(one)] == ["5", "10", "15", "20", "25", "30"]


@pytest.mark.parametrize(
    "values", [[120.1, 121.9], [1234.2, 1234.9], [0.00012, 0.00019], [1e-9, 4e-9], [1, 1.0000001], [5, 2e7]]
)
def test_no_two_labels_of_an_axis_are_the_same(values: list[float]) -> None:
    labels = [one.text for one in of_class(line_chart("t", [1, 2], [Series("", values)]), "text", "end")]
    assert 2 <= len(labels) == len(set(labels))


@pytest.mark.parametrize("values", [[0.000083, 0.00003, 0], [1e-9, 4e-9], [1234.2, 1234.9], [0, 160_000]])
def test_labels_of_the_upright_axis_are_not_cut_off_at_the_left(values: list[float]) -> None:
    chart = line_chart("t", range(len(values)), [Series("", values)])
    for label in of_class(chart, "text", "end"):
        # Of DejaVu Sans, a wide font, at 12 pixels.
        width = sum(3.9 if letter in ",." else 7.7 for letter in label.text or "")
        assert float(label.get("x", "")) > width


def test_a_loss_that_is_no_number_leaves_a_gap() -> None:
    chart = line_chart("t", [1, 2, 3, 4, 5], [Series("loss", [4, 3, math.nan, math.inf, 2])])
    first, second = lines(chart, 0)
    assert [y for _, y in first] == pytest.approx([4, 3], abs=0.02)
    assert [y for _, y in second] == pytest.approx([2], abs=0.02)
    assert len(of_class(chart, "circle", "f0")) == 3


@pytest.mark.parametrize("values", [[3.2], [0.0], [-4.0, -4.0], [1e-9, 2e-9], [1e12, 3e12]], ids=str)
def test_one_point_no_spread_and_any_size_can_be_drawn(values: list[float]) -> None:
    chart = line_chart("t", list(range(len(values))), [Series("", values)])
    for circle in of_class(chart, "circle", "f0"):
        assert 62 <= float(circle.get("cx", "")) <= 390
        assert 50 <= float(circle.get("cy", "")) <= 214


def test_the_best_epoch_is_marked() -> None:
    chart = line_chart("t", [1, 2, 3], [Series("CIDEr", [1, 3, 2])], mark=2)
    (mark,) = of_class(chart, "line", "ideal")
    assert mark.get("x1") == mark.get("x2") == "226.0"


def test_bars_are_as_high_as_their_numbers_beside_each_other_from_zero() -> None:
    chart = bar_chart("t", ["a", "b"], [Series("model", [2, -1]), Series("people", [4, 0])], x_label="words")
    slope, zero = scale(chart, "y")
    legends = [of_class(chart, "rect", f"f{colour}") for colour in (0, 1)]
    bars = [[one for one in several if one.get("width") != "10"] for several in legends]
    heights = [[float(bar.get("height", "")) * -slope for bar in several] for several in bars]
    assert heights[0] == pytest.approx([2, 1], abs=0.05)
    assert heights[1] == pytest.approx([4, 0], abs=0.05)
    assert float(bars[0][1].get("y", "")) * slope + zero == pytest.approx(0, abs=0.05)  # A negative one hangs.
    lefts = [float(bar.get("x", "")) for bar in (bars[0][0], bars[1][0], bars[0][1], bars[1][1])]
    assert lefts == sorted(lefts)


def test_of_many_labels_only_as_many_are_written_as_there_is_room_for() -> None:
    chart = bar_chart("t", [str(length) for length in range(40)], [Series("", [1.0] * 40)])
    shown = [one.text for one in of_class(chart, "text", "middle") if number(one)]
    assert 10 <= len(shown) <= 20
    assert len(of_class(chart, "rect", "f0")) == 40


def test_reliability_lies_on_the_dashed_line_when_confidence_is_right() -> None:
    chart = reliability_diagram("Reliability", [Bin(0.9, 0.9, 400), Bin(0.2, 0.2, 100), Bin(0.5, 0.1, 0)])
    (line,) = lines(chart, 0)
    assert line == [pytest.approx((0.2, 0.2), abs=0.005), pytest.approx((0.9, 0.9), abs=0.005)]
    small, large = (float(circle.get("r", "")) for circle in of_class(chart, "circle", "f0"))
    assert (large - 2) / (small - 2) == pytest.approx(2)  # Four times the captions, four times the area.
    (ideal,) = of_class(chart, "line", "ideal")
    assert (ideal.get("x1"), ideal.get("y1"), ideal.get("x2"), ideal.get("y2")) == ("62.0", "214.0", "390.0", "50.0")


@pytest.mark.parametrize(
    "chart",
    [
        line_chart("t", [], []),
        line_chart("t", [1], [Series("x", [math.nan])]),
        bar_chart("t", [], []),
        reliability_diagram("t", []),
    ],
)
def test_without_numbers_it_says_so(chart: Svg) -> None:
    assert texts(chart) == ["t", "nothing to show"]


def test_names_stay_text_and_nothing_is_fetched() -> None:
    nasty = "<script>alert(\"1\")</script> & 'more'"
    for chart in (
        line_chart(nasty, [1], [Series(nasty, [1])], x_label=nasty),
        bar_chart(nasty, [nasty], [Series(nasty, [1])], x_label=nasty),
        reliability_diagram(nasty, [Bin(0.5, 0.5, 1)], x_label=nasty),
    ):
        assert ElementTree.fromstring(chart).get("aria-label") == nasty
        assert "<script" not in chart
        assert chart.__html__() == chart
    assert "url(" not in STYLE
    assert "http" not in STYLE
    assert "@media (prefers-color-scheme: dark)" in STYLE
    assert "@media print" in STYLE
