"""The peer of the benchmark of Hudi planning, as the Python package hudi: lists file slices.

`slices.py FOLDER` lists those of the newest state, `slices.py FOLDER --since TIME` those that
changed after an instant. The last line of output is one JSON object.
"""

import json
import sys

import hudi


def main():
    """Opens the table and lists."""
    folder, since = sys.argv[1], sys.argv[3] if sys.argv[2:3] == ["--since"] else None
    table = hudi.HudiTable(folder)
    options = None
    if since:
        options = hudi.HudiReadOptions().with_query_type(hudi.HudiQueryType.Incremental)
        options = options.with_start_timestamp(since)
    slices = table.get_file_slices(options)
    files = sum(bool(each.base_file_name) + len(each.log_file_names) for each in slices)
    print(json.dumps({"slices": len(slices), "files": files}))


if __name__ == "__main__":
    main()
