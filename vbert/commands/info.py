"""Say what is in the tables: versions, partitions, sizes, failures by reason, mixtures of provenance.

vbert info tables/
"""

from vbert.errors import OK
from vbert.progress import size_text
from vbert.upkeep.inventory import InfoConfig, Inventory, take_inventory


def main(config: InfoConfig) -> int:
    """Run the job and say what it found."""
    found = take_inventory(config)
    print(config.tables)
    for table, (version, schema) in found.versions.items():
        print(f"\n{table}: version {version}, schema {schema}")
        for facts in found.partitions:
            if facts.table == table:
                size = f"{facts.num_rows:,} rows in {facts.num_files:,} files, {size_text(facts.num_bytes)}"
                print(f"  {facts.partition:<32}  {size}")
    for featurizer, statuses in found.statuses.items():
        print(f"\nvideos of {featurizer}")
        print("  " + ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items())))
        for reason, count in found.reasons[featurizer].most_common(config.num_reasons):
            print(f"  {count:>8,}  {reason}")
    _say_provenance(found)
    for pin in found.pins:
        reads = ", ".join(f"{name} at {version}" for name, version in pin.versions.items())
        print(f"\nin use: {pin.job}" + (f" ({reads})" if reads else ""))
    if found.num_forgotten:
        print(f"\nforgotten: {found.num_forgotten:,} videos")
    return OK


def _say_provenance(found: Inventory) -> None:
    for featurizer, made_with in found.provenance.items():
        print(f"\nfeatures of {featurizer} were made with")
        for words, count in made_with.most_common():
            print(f"  {count:>8,}  {words}")
        if len(made_with) > 1:
            print("  a mixture: the same clip may differ in its last bits from file to file")
