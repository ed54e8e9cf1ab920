"""The arithmetic of benchmarks/cluster_plan.py, by costs that make it easy to do by hand."""

import pytest

from benchmarks.cluster_plan import Cluster, bottleneck, levels, parts_of, pretraining_gpu_hours
from benchmarks.part_costs import Cost, Line, lines_through

NOTHING = Line(0, 0)
COSTS = {
    "compare": Cost(Line(36, 36e-6), Line(1e9, 5000), NOTHING),
    "probe": Cost(Line(9, 0.036), NOTHING, NOTHING),
    # A second of video: 0.02 s, 10,000 bytes; a clip: 0.036 s; a file of 640 clips: 6.4 MB, joined in 0.72 s.
    "decode": Cost(Line(9, 0.02), NOTHING, Line(99, 10_000)),
    "backbone": Cost(Line(9, 0.036), NOTHING, NOTHING),
    "commit": Cost(Line(2.5, 5e-5), Line(0, 1000), NOTHING),
    "checkpoint": Cost(Line(1, 1e-3), NOTHING, NOTHING),
    "join": Cost(Line(9, 0.72), NOTHING, Line(99, 6.4e6)),
    "documents": Cost(Line(9, 0.0036), NOTHING, Line(99, 2000)),
    "videos held": Cost(NOTHING, Line(0, 300), NOTHING),
    "order": Cost(Line(0, 6e-6), Line(0, 20), NOTHING),
    "choose": Cost(Line(0, 30e-6), Line(0, 80), NOTHING),
}
CPUS = Cluster(nodes=10, cores_per_node=16, gpus=0)


def test_a_million_videos_cost_what_is_worked_out_by_hand() -> None:
    parts = {part.name: part for part in parts_of(1_000_000, COSTS, CPUS)}

    compared = parts["list, compare"]
    assert compared.hours == pytest.approx((36 + 36 + 1000 * 0.030 / 32) / 3600)  # and the bucket's 30 ms
    assert compared.requests == 1000
    assert compared.driver_gigabytes == pytest.approx(2)  # 1 GB and 200,000 x 5,000 bytes, and no more
    assert parts["probe, plan"].hours == pytest.approx(10)
    assert parts["probe, plan"].driver_gigabytes == pytest.approx(0.012288)  # 65,536 / 64 x 12 KB
    assert parts["decode"].hours == pytest.approx(1483.333, rel=1e-4)  # 267 M s x 0.02 / 3600
    assert parts["decode"].gigabytes == pytest.approx(2670)
    assert parts["decode"].requests == 1_000_000  # 2.67 MB are one block
    assert parts["features"].hours == pytest.approx(1780)  # 178 M clips x 0.036 / 3600
    assert parts["features"].gigabytes == pytest.approx(1780)  # 10 KB a clip
    assert parts["features"].requests == 312_500  # 5 M segments, 16 a file
    assert parts["documents"].hours == pytest.approx(1.449, rel=1e-3)  # 178 M / 110,100 s and 3,600 s
    assert parts["documents"].driver_gigabytes == pytest.approx(0.3)
    reads = parts["pretraining's reads"]
    assert reads.gigabytes == pytest.approx(4)  # 2 KB, and groups of 64 for runs of 32
    assert reads.driver_gigabytes == pytest.approx(0.02 + 131_072 * 80 / 1e9)
    assert reads.hours == pytest.approx(0.01)


def test_commits_cost_by_the_files_that_a_table_names() -> None:
    # 1,000 shards, half of them on average, and 2,048 small files, which the job joins when they are more.
    commits = {part.name: part for part in parts_of(1_000_000, COSTS, CPUS)}["commits"]

    mean_files = 500 + 2_048
    seconds = (2.5 + 5e-5 * mean_files) / 5 + (1 + 1e-3 * mean_files) / 10 + 0.5 + 6 * 0.030
    assert seconds == pytest.approx(1.560, rel=1e-3)
    assert commits.hours == pytest.approx(3672 * seconds / 3600, rel=1e-3)  # 20.4 h of 20 s
    assert commits.driver_gigabytes == pytest.approx(0.003048)


def test_the_driver_of_ten_million_videos_holds_what_that_of_one_does() -> None:
    one, ten = (
        {part.name: part.driver_gigabytes for part in parts_of(size, COSTS, CPUS)}
        for size in (2_000_000, 20_000_000)
    )
    grows = {name for name in one if ten[name] > one[name]}
    assert grows == {"commits", "pretraining's reads"}  # shards; where documents lie


def test_rows_are_written_once_a_level() -> None:
    assert levels(1) == levels(8) == 1
    assert levels(512) == pytest.approx(3)
    million, ten = (
        {part.name: part for part in parts_of(size, COSTS, CPUS)}["compaction"].hours
        for size in (1_000_000, 10_000_000)
    )
    assert ten / million == pytest.approx(10 * 4 / 3)  # log 10,000 over log 1,000


def test_the_bottleneck_is_what_a_cluster_has_too_little_of() -> None:
    few_gpus = Cluster(nodes=10, cores_per_node=16, gpus=1)
    few_cores = Cluster(nodes=1, cores_per_node=1, gpus=64)

    assert bottleneck(parts_of(1_000_000, COSTS, CPUS), CPUS).name == "features"
    assert bottleneck(parts_of(1_000_000, COSTS, few_gpus), few_gpus).name == "features"
    assert bottleneck(parts_of(1_000_000, COSTS, few_cores), few_cores).name == "decode"


def test_lines_go_through_two_points() -> None:
    cost = lines_through((10, 20), [(3.0, 100, 0), (5.0, 99, 0)])

    assert cost.seconds == pytest.approx((1.0, 0.2))
    assert cost.memory_bytes == (100, 0)  # noise: no cost falls
    assert cost.made_bytes == (0, 0)


def test_an_epoch_is_clips_and_words_over_the_rate() -> None:
    assert pretraining_gpu_hours(1_000_000) == pytest.approx(628e6 / 309_665 / 3600)
