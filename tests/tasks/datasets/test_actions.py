"""The formats are those of the data sets' own files; the rows are made up."""

from pathlib import Path

import pytest

from tests.tasks.datasets.reading import rows, write


def test_kinetics(tmp_path: Path):
    columns = "label,youtube_id,time_start,time_end,split\n"
    write(
        tmp_path / "train.csv",
        f'{columns}testifying,---QUuC4vJs,84,94,train\n"dancing, slow",_x,0,10,train\n',
    )
    write(tmp_path / "validate.csv", f"{columns}washing feet,--GkrdYZ9Tc,103,113,validate\n")
    write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\n--nQbRBEz2s,104,114,test\n")
    expected = [
        {"video_id": "---QUuC4vJs_000084_000094", "split": "train", "labels": ["testifying"]},
        {"video_id": "_x_000000_000010", "split": "train", "labels": ["dancing, slow"]},
        {"video_id": "--GkrdYZ9Tc_000103_000113", "split": "validation", "labels": ["washing feet"]},
    ]  # the test has no labels
    assert rows("kinetics", tmp_path) == expected
    assert rows("kinetics", tmp_path / "train.csv") == expected[:2]
    write(tmp_path / "test.csv", f"{columns},--nQbRBEz2s,104,114,test\nair drumming,-0WZKTu0xfk,7,17,test\n")
    assert rows("kinetics", tmp_path)[3:] == [
        {"video_id": "-0WZKTu0xfk_000007_000017", "split": "test", "labels": ["air drumming"]}
    ]


def test_ucf101(tmp_path: Path):
    write(tmp_path / "classInd.txt", "1 ApplyEyeMakeup\n2 Archery\n")
    write(
        tmp_path / "trainlist01.txt",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nArchery/v_Archery_g14_c02.avi 2\n"
        "HandstandPushups/v_HandStandPushups_g08_c03.avi 37\n",
    )
    write(tmp_path / "testlist01.txt", "Archery/v_Archery_g01_c05.avi\n")
    write(tmp_path / "trainlist02.txt", "Archery/v_Archery_g01_c05.avi 2\n")
    write(tmp_path / "testlist02.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi\n")
    assert rows("ucf101", tmp_path) == [
        {"video_id": "v_ApplyEyeMakeup_g08_c01", "split": "train", "labels": ["ApplyEyeMakeup"]},
        {"video_id": "v_Archery_g14_c02", "split": "validation", "labels": ["Archery"]},  # by its hash
        {"video_id": "v_HandStandPushups_g08_c03", "split": "train", "labels": ["HandstandPushups"]},
        {"video_id": "v_Archery_g01_c05", "split": "test", "labels": ["Archery"]},
    ]
    assert rows("ucf101", tmp_path / "testlist02.txt") == [
        {"video_id": "v_Archery_g01_c05", "split": "train", "labels": ["Archery"]},
        {"video_id": "v_ApplyEyeMakeup_g08_c01", "split": "test", "labels": ["ApplyEyeMakeup"]},
    ]


def test_ucf101_holds_out_whole_groups_of_its_training_clips_and_none_of_the_test(tmp_path: Path):
    for split, groups in (("train", range(8, 26)), ("test", range(1, 8))):
        lines = [
            f"Action{action}/v_Action{action}_g{group:02}_c{clip:02}.avi\n"
            for action in range(40)
            for group in groups
            for clip in (1, 2, 3)
        ]
        write(tmp_path / f"{split}list01.txt", "".join(lines))
    splits: dict[str, set[str]] = {}
    for row in rows("ucf101", tmp_path):
        splits.setdefault(row["video_id"][:-4], set()).add(row["split"])
    assert {len(found) for found in splits.values()} == {1}
    count = {name: sum(found == {name} for found in splits.values()) for name in ("validation", "test")}
    assert count["test"] == 40 * 7
    assert count["validation"] / (40 * 18) == pytest.approx(0.1, abs=0.03)


def test_hmdb51(tmp_path: Path):
    write(
        tmp_path / "brush_hair_test_split1.txt",
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n"
        "atheism_and_hair_brush_hair_u_nm_np1_ri_goo_0.avi 2 \n"
        "Haarek%C3%A4mmen_brush_hair_h_cm_np1_fr_goo_0.avi 0 \n",
    )
    write(
        tmp_path / "cartwheel_test_split1.txt", "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi 2 \n"
    )
    write(
        tmp_path / "cartwheel_test_split3.txt", "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi 1 \n"
    )
    assert rows("hmdb51", tmp_path) == [
        {"video_id": "April_09_brush_hair_u_nm_np1_ba_goo_0", "split": "train", "labels": ["brush_hair"]},
        {
            "video_id": "atheism_and_hair_brush_hair_u_nm_np1_ri_goo_0",
            "split": "test",
            "labels": ["brush_hair"],
        },
        {
            "video_id": "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0",
            "split": "test",
            "labels": ["cartwheel"],
        },
    ]
    third = rows("hmdb51", tmp_path / "cartwheel_test_split3.txt")
    assert [(row["video_id"][:5], row["split"]) for row in third] == [("(Rad)", "train")]


@pytest.mark.parametrize("prefix", ["something-something-v2-", ""])
def test_something_something_v2(prefix: str, tmp_path: Path):
    clip = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
    other = {
        "id": "74225",
        "label": "spinning cube",
        "template": "Spinning [something that quickly stops spinning]",
    }
    write(tmp_path / f"{prefix}labels.json", {"Holding something next to something": "1"})
    write(tmp_path / f"{prefix}train.json", [clip])
    write(tmp_path / f"{prefix}validation.json", [other])
    write(tmp_path / f"{prefix}test.json", [{"id": "1420"}])
    expected = [
        {
            "video_id": "78687",
            "split": "train",
            "labels": ["Holding something next to something"],
            "captions": ["holding potato next to vicks vaporub bottle"],
        },
        {
            "video_id": "74225",
            "split": "validation",
            "labels": ["Spinning something that quickly stops spinning"],
            "captions": ["spinning cube"],
        },
    ]
    assert rows("something_something_v2", tmp_path) == expected
    write(tmp_path / "test-answers.csv", "1420;Holding something next to something\n")
    assert rows("something_something_v2", tmp_path)[2:] == [
        {"video_id": "1420", "split": "test", "labels": ["Holding something next to something"]}
    ]


def test_charades(tmp_path: Path):
    write(tmp_path / "Charades_v1_classes.txt", "c092 Watching a laptop\nc147 Taking a cup\n")
    columns = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    write(
        tmp_path / "Charades_v1_train.csv",
        columns + '46GP8,HR43,Kitchen,6,7,Yes,"A person, cooking.",food;stove,'
        '"A man, at a laptop.;He takes a cup.",c092 11.90 21.20;c147 0.00 12.60,24.83\n'
        "0IH69,HR43,Kitchen,6,7,Yes,A script.,,,c147 1.00 2.00,9.0\n",
    )
    write(
        tmp_path / "Charades_v1_test.csv", columns + "N11GT,HR43,Bedroom,6,7,Yes,A script.,,She sits.,,9.0\n"
    )
    assert rows("charades", tmp_path) == [
        {"video_id": "46GP8", "split": "train", "captions": ["A man, at a laptop.", "He takes a cup."]},
        {
            "video_id": "46GP8",
            "split": "train",
            "start_seconds": 11.9,
            "end_seconds": 21.2,
            "labels": ["Watching a laptop"],
        },
        {
            "video_id": "46GP8",
            "split": "train",
            "start_seconds": 0.0,
            "end_seconds": 12.6,
            "labels": ["Taking a cup"],
        },
        {
            "video_id": "0IH69",
            "split": "validation",  # held out by its hash
            "start_seconds": 1.0,
            "end_seconds": 2.0,
            "labels": ["Taking a cup"],
        },
        {"video_id": "N11GT", "split": "test", "captions": ["She sits."]},
    ]
