"""The JavaScript SDK's exporters, from npm, over HTTP in JSON and protobuf."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

EXPORTERS = "0.223.1"
SDK = "2.12.0"
PROGRAM = """
const { BasicTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { OTLPTraceExporter } = require(process.argv[2]);
const exporter = new OTLPTraceExporter({ url: process.argv[3], compression: process.argv[5] });
const failed = [];
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'node' }),
  spanProcessors: [new SimpleSpanProcessor({
    export: (spans, done) => exporter.export(spans, (result) => {
      if (result.code !== 0) failed.push(String(result.error));
      done(result);
    }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  })],
});
const span = provider.getTracer('tests').startSpan(process.argv[4], {
  kind: 2,
  attributes: { 'gen_ai.request.model': 'gpt-4o', n: 9007199254740991, d: 0.5, list: ['a', 'b'], yes: true },
});
span.addEvent('event', { k: 'caf\\u00e9' });
span.setStatus({ code: 2, message: 'no' });
span.end();
provider.forceFlush().then(() => provider.shutdown()).then(() => {
  if (failed.length) { console.error(failed.join('\\n')); process.exit(1); }
});
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK installed; without node, npm or a network the tests are left out."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node or npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    packages = [f"@opentelemetry/exporter-trace-otlp-{one}@{EXPORTERS}" for one in ("http", "proto")]
    packages += [f"@opentelemetry/{one}@{SDK}" for one in ("sdk-trace-base", "resources")]
    packages += ["@opentelemetry/api@1"]
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    try:
        done = subprocess.run([*command, *packages], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not install the SDK within 60 s")
    if done.returncode:
        pytest.skip(f"npm could not install the SDK: {done.stderr.strip()[-200:]}")
    (folder / "program.js").write_text(PROGRAM)
    return folder


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("encoding", ["http", "proto"])
def test_its_spans_are_stored_with_all_they_say(
    client: Any, node: Path, until: Any, encoding: str, compression: str
) -> None:
    name = f"node {encoding} {compression}"
    package, url = (
        f"@opentelemetry/exporter-trace-otlp-{encoding}",
        f"http://{client.processor.http}/v1/traces",
    )
    environment = {key: said for key, said in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        ["node", str(node / "program.js"), package, url, name, compression],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    asked = (
        "SELECT request_model, service_name, kind, status_code, attributes['n'] AS n, attributes['d'] AS d, "
        "attributes['list'] AS list, attributes['yes'] AS yes FROM spans WHERE name = $name"
    )
    (row,) = until(lambda: client.processor.sql(asked, {"name": name}))
    assert row == {
        "request_model": "gpt-4o",
        "service_name": "node",
        "kind": "CLIENT",
        "status_code": "ERROR",
        "n": "9007199254740991",
        "d": "0.5",
        "list": '["a", "b"]',
        "yes": "true",
    }
