#!/usr/bin/env bash
# Makes one table, scenario × client, of tables that `ramen conformance run` has printed: a letter for each transport over which the client
# passed, "no:" before those over which it did not, and brackets around those over which it could not be played.
#   scripts/clients-table.sh bin/table-*.md
set -euo pipefail
awk -F' *[|] *' '
BEGIN { letter["ws-json"] = "j"; letter["ws-proto"] = "p"; letter["sse"] = "s"; letter["eventsource"] = "e"; letter["poll"] = "l"; letter["grpc"] = "g" }
FNR == 1 { client = $2; clients[++n] = client; delete over; for (i = 3; i < NF; i++) over[i] = letter[$i]; next }
FNR == 2 || !/^[|]/ { if (/ passed, /) sum[client] = $0; next }
{
	if (!($2 in seen)) { seen[$2] = 1; order[++m] = $2 }
	yes = no = not = ""
	for (i = 3; i < NF; i++) {
		if ($i == "yes") yes = yes over[i]
		else if ($i == "–") not = not over[i]
		else if ($i != "") no = no over[i]
	}
	cell[$2, client] = yes (no == "" ? "" : " no:" no) (not == "" ? "" : "(" not ")")
}
END {
	line = "| scenario |"; rule = "| --- |"
	for (c = 1; c <= n; c++) { line = line " " clients[c] " |"; rule = rule " --- |" }
	print line; print rule
	for (i = 1; i <= m; i++) {
		line = "| " order[i] " |"
		for (c = 1; c <= n; c++) line = line " " cell[order[i], clients[c]] " |"
		print line
	}
	line = "| **runs** |"
	for (c = 1; c <= n; c++) line = line " " sum[clients[c]] " |"
	print line
}' "$@"
