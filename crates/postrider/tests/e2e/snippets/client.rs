//! A client for TypeScript: what a generator makes of the document compiles, and does what its types say.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tokio::process::Command;

use super::toolchain::{succeed, tools};
use crate::support::{Context, Deployment, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_generated_client_compiles_and_works]
}

/// What an integrator would write, type by type.
const PROGRAM: &str = r#"
import { writeFileSync } from "node:fs";
import { createEndpoint, getEndpoint, listEndpoints, publishEvent } from "./client";
import { client } from "./client/client.gen";

client.setConfig({ baseUrl: process.env.POSTRIDER_URL!, auth: () => process.env.POSTRIDER_API_KEY! });

async function main() {
  const refused = await createEndpoint({
    body: { name: "", url: "https://localhost:9/" },
    headers: { "Idempotency-Key": "generated-1" },
  });
  const listed = await listEndpoints({ query: { limit: 1 } });
  const cursor: string | null | undefined = listed.data?.next_cursor;
  const missing = await getEndpoint({ path: { id: "ep_00000000000000000000000000" } });
  const published = await publishEvent({ body: { type: "order.created", data: { id: 1 } } });
  const said = {
    problem: refused.error?.type,
    field: refused.error?.field,
    names: listed.data?.data.map((endpoint) => endpoint.name),
    cursor,
    missing: missing.response.status,
    topic: published.data?.topic,
  };
  writeFileSync("said.json", JSON.stringify(said));
}

main();
"#;

async fn a_generated_client_compiles_and_works(context: Context) {
    let mut deployment = Deployment::start(&context, "client").await;
    let tenant = deployment.tenant().await;
    let endpoint = json!({"name": "by hand", "url": "https://localhost:9/", "event_types": ["*"]});
    tenant.create_endpoint(&endpoint).await;
    let url = deployment.service().process.api_url();
    let document = reqwest::get(format!("{url}/openapi.json")).await.unwrap().text().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let modules = tools().join("node/node_modules");
    std::os::unix::fs::symlink(&modules, at.join("node_modules")).unwrap();
    fs::write(at.join("openapi.json"), document).unwrap();
    fs::write(at.join("program.ts"), PROGRAM).unwrap();
    let generator = modules.join("@hey-api/openapi-ts/bin/index.cjs");
    let arguments = ["-i", "openapi.json", "-o", "client", "-c", "@hey-api/client-fetch"];
    succeed(node(at, &generator).args(arguments)).await;
    let options = ["--strict", "--module", "commonjs", "--target", "es2022", "--types", "node", "--skipLibCheck"];
    succeed(node(at, &modules.join("typescript/bin/tsc")).args(options).arg("program.ts")).await;
    let variables = [("POSTRIDER_URL", url.as_str()), ("POSTRIDER_API_KEY", tenant.key.as_str())];
    succeed(node(at, &at.join("program.js")).envs(variables)).await;

    let said: Value = serde_json::from_slice(&fs::read(at.join("said.json")).unwrap()).unwrap();
    assert_eq!(said["names"], json!(["by hand"]), "{said}");
    assert_eq!((&said["problem"], &said["field"]), (&json!("/problems/validation"), &json!("/name")), "{said}");
    assert_eq!(said["missing"], 404, "{said}");
    assert_eq!(said["topic"], json!(deployment.topics.events()), "{said}");
}

fn node(at: &Path, script: &Path) -> Command {
    let mut node = Command::new("node");
    node.arg(script).current_dir(at).env("NO_COLOR", "1");
    node
}
