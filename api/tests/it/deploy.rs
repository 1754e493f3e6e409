//! The files for deployment: images, compose, Kubernetes. These tests need no Docker engine and no cluster: they validate the
//! files with tools, and compare them with the settings of the binaries. `deploy/images.sh` starts them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use serde_json::{Value, json};

use crate::process::{binary, run};
use testkit::app::{TEST_KEY, TestApp};
use testkit::until::until;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file. Python reads it, so that we need no YAML crate.
pub fn yaml(path: &str) -> Vec<Value> {
    // `!override` is Compose's: a value that replaces the one of the file before.
    let script = "import json, sys, yaml
yaml.SafeLoader.add_constructor('!override', lambda loader, node: loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.MappingNode) else loader.construct_sequence(node, deep=True))
json.dump([it for it in yaml.safe_load_all(open(sys.argv[1])) if it], sys.stdout)";
    let output = tool("python", &["-c", script, path]);
    assert!(output.status.success(), "{path}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs one of the tools of deploy/requirements.txt in the root of the repository.
fn tool(name: &str, arguments: &[&str]) -> Output {
    let program = root().join(".dev/tools/bin").join(name);
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{}: {error}; ./dev test installs it", program.display()))
}

#[track_caller]
fn is_content(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const DOCKERFILES: [(&str, &str); 2] = [("Dockerfile.api", "millrace-api"), ("Dockerfile.worker", "millrace-worker")];

/// The instructions that our images may use after the build. None of them runs a command.
const AFTER_THE_BUILD: [&str; 8] = ["FROM", "LABEL", "COPY", "ENV", "EXPOSE", "USER", "HEALTHCHECK", "ENTRYPOINT"];

/// The settings of a binary, by their environment variables.
fn settings(binary: &str) -> BTreeSet<String> {
    let command = if binary == "millrace-api" { api::config::Cli::command() } else { worker::config::Cli::command() };
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let arguments = commands.flat_map(clap::Command::get_arguments);
    arguments.filter_map(|it| it.get_env()?.to_str().map(ToOwned::to_owned)).collect()
}

/// The default of one of the API's settings.
fn settings_default(name: &str) -> u64 {
    let command = api::config::Cli::command();
    let argument = command.get_arguments().find(|it| it.get_env().is_some_and(|env| env == name)).unwrap();
    argument.get_default_values()[0].to_str().unwrap().parse().unwrap()
}

// ---- images ----------------------------------------------------------------------------------

#[test]
fn linters_are_content_with_images_and_scripts() {
    is_content(&tool("hadolint", &["Dockerfile.api", "Dockerfile.worker", "deploy/patroni/Dockerfile"]));
    let scripts = [
        "dev",
        ".ci/run",
        "testkit/install.sh",
        "bench/peers/install.sh",
        "deploy/images.sh",
        "deploy/patroni/post_init.sh",
    ];
    is_content(&tool("shellcheck", &[&["-x"][..], &scripts].concat()));
    is_content(&tool(
        "check-jsonschema",
        &["--builtin-schema", "vendor.github-workflows", ".github/workflows/test.yml"],
    ));
}

#[test]
fn both_images_come_from_one_build_with_our_compiler_and_bring_no_tools() {
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let builds = DOCKERFILES.map(|(path, name)| {
        let text = read(path);
        let (build, image) = text.split_once("FROM debian:bookworm-slim\n").expect("it ends on a small Debian");
        assert!(build.contains(&format!("FROM rust:{version}-slim-bookworm AS build\n")), "{path}: another compiler");
        for member in members.split(',').map(|it| it.trim().trim_matches('"')) {
            assert!(
                build.contains(&format!("COPY {member}/Cargo.toml {member}/\n")),
                "{path}: no manifest of {member}"
            );
        }
        for line in image.lines().filter(|line| line.starts_with(|it: char| it.is_ascii_uppercase())) {
            let verb = line.split(' ').next().unwrap();
            assert!(AFTER_THE_BUILD.contains(&verb), "{path}: {line}");
        }
        for needed in [
            "USER 10001:10001\n".to_owned(),
            format!("CMD [\"{name}\", \"health\"]\n"),
            format!("ENTRYPOINT [\"{name}\"]\n"),
            format!("COPY --from=build /src/target/release/{name} /usr/local/bin/\n"),
            format!("LABEL org.opencontainers.image.title=\"{name}\""),
        ] {
            assert!(image.contains(&needed), "{path} lacks {needed}");
        }
        for secret in ["PASSWORD", "DATABASE_URL", "REDIS_URL", "JWT"] {
            assert!(!text.contains(secret), "{path} has a {secret} in a layer");
        }
        build.split_once("# This stage").unwrap().1.to_owned()
    });
    assert_eq!(builds[0], builds[1], "built once, used twice");
}

#[test]
fn what_an_image_copies_is_there_and_secrets_are_not_sent_along() {
    for (path, _) in DOCKERFILES {
        for line in read(path).lines().filter_map(|line| line.strip_prefix("COPY ")) {
            let mut words: Vec<&str> = line.split(' ').collect();
            words.pop();
            for source in words.into_iter().filter(|_| !line.starts_with("--from")) {
                assert!(root().join(source).exists(), "{path}: there is no {source}");
            }
        }
    }
    let ignored = read(".dockerignore");
    for kept_away in ["/.env", "/secrets", "/.git", "/target", "/.dev", "*.pem", "**/*.pem"] {
        assert!(ignored.lines().any(|line| line == kept_away), "{kept_away} is sent to the builder");
    }
    for kept_away in ["/.env", "/secrets", "*.pem"] {
        assert!(read(".gitignore").lines().any(|line| line == kept_away), "{kept_away} could be committed");
    }
}

// This thread waits for the command, so the API runs on another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_command_says_whether_the_process_is_ready() {
    let app = TestApp::new().await;
    let (_, port) = app.metrics_url.rsplit_once(':').unwrap();
    // As in the image, where the API listens on all addresses.
    let everywhere = format!("0.0.0.0:{port}");
    let ask = |addr: &str| {
        run(binary(&[("DATABASE_URL", &app.database_url), ("JWT_PRIVATE_KEY", TEST_KEY), ("METRICS_ADDR", addr)])
            .arg("health"))
    };
    let (ready, printed) = ask(&everywhere);
    assert!(ready, "{printed}");
    app.state.db.close().await;
    // The answer of the servers is good for a second.
    until("it is not ready", async || {
        let (ready, printed) = ask(&everywhere);
        assert!(ready || printed.contains("503"), "{printed}");
        !ready
    })
    .await;
    let (ready, printed) = ask("127.0.0.1:1");
    assert!(!ready && printed.contains("does not answer"), "{printed}");
}

// ---- compose ---------------------------------------------------------------------------------

#[test]
fn compose_files_fit_their_schema() {
    is_content(&tool(
        "check-jsonschema",
        &["--builtin-schema", "vendor.compose-spec", "docker-compose.yml", "docker-compose.test.yml"],
    ));
}

/// What a service mounts is a file of the repository or one of these volumes.
fn assert_mounts_exist(name: &str, service: &Value, volumes: &Value) {
    for mount in service["volumes"].as_array().into_iter().flatten() {
        let source = mount.as_str().unwrap().split(':').next().unwrap();
        let there = if source.starts_with('.') { root().join(source).exists() } else { volumes.get(source).is_some() };
        assert!(there, "{name} mounts {source}");
    }
}

#[test]
fn compose_with_patroni_fits_its_schema_and_finds_what_it_names() {
    let mut compose = yaml("docker-compose.yml").remove(0);
    let patroni = yaml("deploy/patroni/docker-compose.yml").remove(0);
    for (name, service) in patroni["services"].as_object().unwrap() {
        for (key, value) in service.as_object().unwrap() {
            compose["services"][name][key] = value.clone();
        }
        for needed in service["depends_on"].as_array().into_iter().flatten() {
            assert!(patroni["services"].get(needed.as_str().unwrap()).is_some(), "{name} waits for {needed}");
        }
        assert_mounts_exist(name, service, &patroni["volumes"]);
    }
    let merged = std::env::temp_dir().join(format!("compose-{}.json", uuid::Uuid::now_v7()));
    std::fs::write(&merged, compose.to_string()).unwrap();
    is_content(&tool("check-jsonschema", &["--builtin-schema", "vendor.compose-spec", merged.to_str().unwrap()]));
    std::fs::remove_file(merged).unwrap();
    // What the servers of Postgres run, and what HAProxy asks for.
    let image = read("deploy/patroni/Dockerfile");
    for line in image.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.pop();
        assert!(words.iter().all(|source| root().join(source).exists()), "{line}");
    }
    let haproxy = read("deploy/patroni/haproxy.cfg");
    for name in compose["services"]["postgres"]["environment"].as_object().unwrap().keys() {
        assert!(haproxy.contains(&format!("\"${{{name}}}\"")), "HAProxy does not know {name}");
    }
}

#[test]
fn compose_services_are_limited_watched_and_find_what_they_name() {
    let compose = yaml("docker-compose.yml").remove(0);
    let services = compose["services"].as_object().unwrap();
    let watched: BTreeSet<&str> = services.keys().map(String::as_str).filter(|it| *it != "migrate").collect();
    for (name, service) in services {
        assert!(service["restart"].is_string(), "{name} is not started again");
        assert!(service["deploy"]["resources"]["limits"]["memory"].is_string(), "{name} may take all memory");
        assert!(service["container_name"].is_null(), "{name} cannot be scaled");
        let ours = service["image"].as_str().unwrap().starts_with("millrace-");
        assert!(ours || service["healthcheck"]["test"].is_array(), "nobody looks after {name}");
        assert!(ours || service["image"].as_str().unwrap().contains(':'), "{name} has any version");
        for (needed, how) in service["depends_on"].as_object().into_iter().flatten() {
            match how["condition"].as_str().unwrap() {
                "service_healthy" => assert!(watched.contains(needed.as_str()), "{name} waits for {needed}"),
                other => assert_eq!((needed.as_str(), other), ("migrate", "service_completed_successfully")),
            }
        }
        for kind in ["networks", "secrets"] {
            for used in service[kind].as_array().into_iter().flatten() {
                assert!(compose[kind].get(used.as_str().unwrap()).is_some(), "{name} uses {used}");
            }
        }
        assert_mounts_exist(name, service, &compose["volumes"]);
        if ours {
            let known = settings(service["image"].as_str().unwrap());
            for setting in service["environment"].as_object().unwrap().keys() {
                assert!(known.contains(setting), "{name} does not know {setting}");
            }
        }
        assert_eq!((&service["read_only"], &service["cap_drop"][0]), (&true.into(), &"ALL".into()), "{name}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
        assert!(service["cap_add"].is_null() && service["privileged"].is_null(), "{name} has a capability");
        assert!(service["deploy"]["resources"]["limits"]["pids"].is_u64(), "{name} may start any number of processes");
    }
    // Only two containers have the owner's password: the one that creates the roles, and the one that migrates.
    let knows = |secret: &str| -> Vec<&str> {
        services.iter().filter(|(_, it)| it.to_string().contains(secret)).map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(knows("OWNER_DATABASE_PASSWORD"), ["migrate", "postgres"]);
    assert_eq!(knows("${POSTGRES_PASSWORD"), ["postgres"], "the superuser is for the first start");
    assert_eq!(services["api"]["environment"]["AUTO_MIGRATE"], "false");
    // The default of many engines is 1024, which is too low. Postgres and Redis need file descriptors too.
    let most = settings_default("MAX_CONNECTIONS");
    assert!(services["api"]["ulimits"]["nofile"].as_u64().unwrap() > most, "connections run out of file descriptors");
    assert!(services["worker"]["ports"].is_null(), "two workers would want the same port of the host");
    assert_eq!(compose["networks"]["data"]["internal"], true);
    let redis = |name: &str| services[name]["command"].to_string();
    for (name, policy) in
        [("redis-queue", "--appendonly yes"), ("redis-queue", "noeviction"), ("redis-cache", "allkeys-lru")]
    {
        assert!(redis(name).contains(policy), "{name} is not {policy}");
    }
}

/// `${NAME:?…}` must be set, and docs/deploying.md must name it. No secret has a default, but one may be empty.
#[test]
fn compose_asks_for_its_secrets_and_the_page_says_how_to_make_them() {
    let (compose, page) = (read("docker-compose.yml"), read("docs/deploying.md"));
    let asked: BTreeSet<&str> = compose.split("${").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert!(asked.len() > 3, "{asked:?}");
    for variable in asked {
        let name = variable.split(':').next().unwrap();
        assert!(page.contains(name), "docs/deploying.md does not say what {name} is");
        let has_default = !variable.starts_with(&format!("{name}:?")) && variable != format!("{name}:-");
        assert!(!name.contains("PASSWORD") || !has_default, "{name} has a default");
    }
    assert!(page.contains("secrets/jwt.pem"));
}

// ---- Kubernetes ------------------------------------------------------------------------------

const BASE: &str = "deploy/kubernetes/base";
const MIGRATE: &str = "deploy/kubernetes/migrate";
/// KEDA defines its schema, not Kubernetes. It has its own test below.
const SCALING: &str = "deploy/kubernetes/base/worker-scaling.yaml";

/// The files of a kustomization, which must be all files in its folder.
fn resources(folder: &str) -> Vec<String> {
    let kustomization = yaml(&format!("{folder}/kustomization.yaml")).remove(0);
    let listed: BTreeSet<String> =
        kustomization["resources"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()).collect();
    let there: BTreeSet<String> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    assert_eq!(listed, there, "{folder}");
    listed.into_iter().map(|name| format!("{folder}/{name}")).collect()
}

/// All objects, by kind and name.
fn objects() -> BTreeMap<(String, String), Value> {
    let files = [resources(BASE), resources(MIGRATE)].concat();
    let word = |it: &Value| it.as_str().unwrap().to_owned();
    files
        .iter()
        .flat_map(|file| yaml(file))
        .map(|object| ((word(&object["kind"]), word(&object["metadata"]["name"])), object))
        .collect()
}

#[test]
fn manifests_fit_the_schemas_of_kubernetes() {
    let files = [resources(BASE), resources(MIGRATE)].concat();
    let files: Vec<&str> = files.iter().map(String::as_str).filter(|file| *file != SCALING).collect();
    // The oldest version that is still supported by some provider, and the newest one that the tool knows.
    for version in ["1.30", "1.37"] {
        let said = is_content(&tool("kubernetes-validate", &[&["--strict", "-k", version][..], &files].concat()));
        assert!(!said.contains("WARN") && said.matches("passed").count() >= files.len(), "{version}: {said}");
    }
}

#[test]
fn pods_run_as_nobody_with_limits_and_secrets_by_reference() {
    let objects = objects();
    let config = objects[&("ConfigMap".to_owned(), "millrace".to_owned())]["data"].as_object().unwrap();
    let mut seen = Vec::new();
    for ((kind, name), object) in &objects {
        let pod = &object["spec"]["template"]["spec"];
        let Some(container) = pod["containers"].as_array().map(|all| &all[0]) else { continue };
        seen.push(format!("{kind}/{name}"));
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]),
            (&true.into(), &10001.into())
        );
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let context = &container["securityContext"];
        assert_eq!(
            (&context["readOnlyRootFilesystem"], &context["allowPrivilegeEscalation"]),
            (&true.into(), &false.into())
        );
        assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
        for which in ["requests", "limits"] {
            for what in ["cpu", "memory"] {
                assert!(container["resources"][which][what].is_string(), "{name} {which} {what}");
            }
        }
        let known = settings(container["image"].as_str().unwrap());
        for variable in container["env"].as_array().unwrap() {
            let setting = variable["name"].as_str().unwrap();
            assert!(known.contains(setting), "{name} does not know {setting}");
            if setting.ends_with("_URL") {
                assert_eq!(variable["valueFrom"]["secretKeyRef"]["key"], setting, "{name}: {setting} is no reference");
            }
        }
        if kind == "Deployment" {
            assert!(object["spec"]["replicas"].is_null(), "{name}: an apply would reset what the autoscaler chose");
            assert_eq!(object["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], *name);
            assert_eq!(object["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"], *name);
            let ports: BTreeSet<&str> =
                container["ports"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let get = &container[probe]["httpGet"];
                assert!(ports.contains(get["port"].as_str().unwrap()), "{name} {probe}");
                assert!(get["path"].as_str().unwrap().starts_with("/health/"), "{name} {probe}");
            }
            for of_it in ["PodDisruptionBudget", "NetworkPolicy"] {
                assert!(objects.contains_key(&(of_it.to_owned(), name.clone())), "{name} has no {of_it}");
            }
        }
    }
    assert_eq!(seen, ["Deployment/millrace-api", "Deployment/millrace-worker", "Job/millrace-migrate"]);
    let known: BTreeSet<String> = settings("millrace-api").union(&settings("millrace-worker")).cloned().collect();
    for setting in config.keys() {
        assert!(known.contains(setting), "nobody knows {setting}");
    }
    assert_eq!(config["AUTO_MIGRATE"], "false", "the migration is a job of its own");
}

#[test]
fn processes_get_the_time_that_they_need_to_stop() {
    let objects = objects();
    let compose = yaml("docker-compose.yml").remove(0);
    let (api, worker) = (api::serve::GRACE.as_secs(), 2 * worker::fleet::GRACE.as_secs());
    for (name, needed) in [("api", api), ("worker", worker)] {
        let pod = &objects[&("Deployment".to_owned(), format!("millrace-{name}"))]["spec"]["template"]["spec"];
        let slept: u64 = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1]
            .as_str()
            .map_or(0, |seconds| seconds.parse().unwrap());
        let given = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(given > needed + slept, "Kubernetes kills {name} after {given} s of {needed} and {slept}");
        let given = compose["services"][name]["stop_grace_period"].as_str().unwrap();
        let given: u64 = given.strip_suffix('s').unwrap().parse().unwrap();
        assert!(given > needed, "compose kills {name} after {given} s of {needed}");
    }
}

/// Checked by hand-written rules, from KEDA's documentation of `ScaledObject` and its Prometheus scaler. The tests of
/// the dashboards run its query on a real Prometheus.
#[test]
fn scalers_find_what_they_scale() {
    let objects = objects();
    let hpa = &objects[&("HorizontalPodAutoscaler".to_owned(), "millrace-api".to_owned())]["spec"];
    assert_eq!(hpa["scaleTargetRef"]["name"], "millrace-api");
    let scaled = &objects[&("ScaledObject".to_owned(), "millrace-worker".to_owned())];
    assert_eq!(scaled["apiVersion"], "keda.sh/v1alpha1");
    let known =
        ["scaleTargetRef", "pollingInterval", "minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers"];
    let spec = scaled["spec"].as_object().unwrap();
    assert!(spec.keys().all(|key| known.contains(&key.as_str())), "{spec:?}");
    assert_eq!(spec["scaleTargetRef"]["name"], "millrace-worker");
    let (least, most) = (spec["minReplicaCount"].as_u64().unwrap(), spec["maxReplicaCount"].as_u64().unwrap());
    let fallback = spec["fallback"]["replicas"].as_u64().unwrap();
    assert!(0 < least && least <= fallback && fallback <= most);
    let [trigger] = spec["triggers"].as_array().unwrap().as_slice() else { panic!("one trigger is enough") };
    assert_eq!(trigger["type"], "prometheus");
    // KEDA requires this for a fallback.
    assert_eq!(trigger["metricType"], "AverageValue");
    let metadata = trigger["metadata"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["query", "serverAddress", "threshold"]);
    assert!(metadata["threshold"].as_str().unwrap().parse::<f64>().unwrap() > 0.0);
}

#[test]
fn pods_talk_to_whom_they_must_and_nobody_else() {
    let objects = objects();
    let policy = |name: &str| &objects[&("NetworkPolicy".to_owned(), name.to_owned())]["spec"];
    assert_eq!(*policy("default-deny"), json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    for (name, ports) in [
        ("millrace-api", &["5432", "6379"][..]),
        ("millrace-worker", &["443", "5432", "6379"]),
        ("millrace-migrate", &["53", "5432"]),
    ] {
        let spec = policy(name);
        assert_eq!(spec["podSelector"]["matchLabels"]["app.kubernetes.io/name"], name);
        assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]), "{name}");
        let rules = ["ingress", "egress"].map(|way| spec[way].as_array().cloned().unwrap_or_default());
        for (peers, rule) in
            ["from", "to"].iter().zip(&rules).flat_map(|(peers, rules)| rules.iter().map(move |it| (peers, it)))
        {
            assert!(rule[peers].as_array().is_some_and(|it| !it.is_empty()), "{name}: {rule} is for everybody");
            assert!(rule["ports"].as_array().is_some_and(|it| !it.is_empty()), "{name}: {rule} is for every port");
        }
        let opened: BTreeSet<String> = rules[1]
            .iter()
            .flat_map(|rule| rule["ports"].as_array().unwrap())
            .map(|port| port["port"].to_string())
            .collect();
        assert_eq!(
            opened.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            ports.iter().copied().collect(),
            "{name}"
        );
    }
}

/// The owner of the schema and the application, which only reads and writes rows, have separate secrets.
#[test]
fn only_the_migration_knows_the_owner() {
    let secrets: BTreeMap<String, String> = objects()
        .iter()
        .filter_map(|((_, name), object)| {
            let variables = object["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?;
            let url = variables.iter().find(|it| it["name"] == "DATABASE_URL")?;
            Some((name.clone(), url["valueFrom"]["secretKeyRef"]["name"].as_str()?.to_owned()))
        })
        .collect();
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect();
    assert_eq!(
        secrets,
        [("millrace-api", "millrace"), ("millrace-migrate", "millrace-migrate"), ("millrace-worker", "millrace")]
    );
}

#[test]
fn both_kustomizations_bring_the_same_release() {
    let images = |folder: &str| yaml(&format!("{folder}/kustomization.yaml")).remove(0)["images"].clone();
    let (base, migrate) = (images(BASE), images(MIGRATE));
    assert_eq!(base[0], migrate[0]);
    assert_eq!(base[0]["newTag"], base[1]["newTag"]);
}
