"""Print what the tables hold, in a few lines each.

python demo/show_tables.py --tables demo-output/tables
"""

import argparse

import pyarrow as pa
import pyarrow.compute as pc

from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS

NUM_SHOWN = 5


def main() -> None:
    """All partitions of the three tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", required=True, help="folder of the tables")
    root = parser.parse_args().tables
    for show, layout in ((show_videos, VIDEOS), (show_features, FEATURES), (show_documents, DOCUMENTS)):
        table = Table(root, layout)
        for partition in table.partitions():
            rows = table.read(columns=layout.schema.names, partition=partition)
            print(f"\n{layout.name} ({layout.partition} {partition}): {rows.num_rows:,} rows")
            show(rows)


def show_videos(rows: pa.Table) -> None:
    """Status, length and codec; those that are not ok first."""
    for row in rows.sort_by([("status", "descending"), ("uri", "ascending")]).slice(0, NUM_SHOWN).to_pylist():
        size = f"{row['width']}x{row['height']} {row['codec']}" if row["width"] else ""
        reason = f"  {row['stage']}: {row['reason']}" if row["reason"] else ""
        facts = f"{row['status']:<7} {row['duration_seconds'] or 0.0:7.1f} s  {size:<16}"
        print(f"  {facts} {row['num_clips']:4} clips  {row['uri'][-48:]}{reason}")


def show_features(rows: pa.Table) -> None:
    """How many clips, of which size."""
    clips = pc.sum(pc.list_value_length(rows["clip_start_seconds"])).as_py()
    dim = len(rows["features"][0].as_py()[0])
    hours = clips * rows["clip_seconds"][0].as_py() / 3600
    print(f"  {clips:,} clips of {dim:,} dimensions, {hours:.2f} h")


def show_documents(rows: pa.Table) -> None:
    """The beginning of some documents: sentences and tokens."""
    for row in rows.sort_by("uri").slice(0, NUM_SHOWN).to_pylist():
        print(f"  {row['uri'][-40:]}: {len(row['visual_tokens'])} tokens, {len(row['sentences'])} sentences")
        print(f"    tokens    {' '.join(map(str, row['visual_tokens'][:16]))} ...")
        for text, start in list(zip(row["sentences"], row["sentence_start_seconds"], strict=True))[:2]:
            print(f"    {start:6.1f} s  {text}")


if __name__ == "__main__":
    main()
