//! Starts Postgres and Redis for `./dev`, runs a command beside them, and stops them when it ends.
//!
//! ```text
//! millrace-servers DIR up -- COMMAND…             the servers of ./dev up: persistent data, fixed ports
//! millrace-servers DIR test [--fsync] -- COMMAND… temporary servers on free ports
//! millrace-servers DIR psql ARGS…                 psql in the database of ./dev up
//! millrace-servers DIR stop                       stops the servers of a killed ./dev up
//! millrace-servers DIR receive ADDRESS            a receiver of webhooks that prints and shows what arrives
//! ```
//!
//! DIR is where their data is. The command finds in its environment: `SERVER_URL` (of Postgres, without a database),
//! `SERVER_REDIS_URL` and `PG_BIN`.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use servers::home::{Home, free_port};
use servers::postgres::{Postgres, Stop, postgres_bin};
use servers::receiver;
use servers::redis::Redis;
use servers::shutdown::Asked;
use tokio::process::Command;
use uuid::Uuid;

const DATABASE: &str = "millrace";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("\n./dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &[&str]) -> Result<u8> {
    let [dir, verb, rest @ ..] = args else { bail!("use it through ./dev") };
    let dir = place(Path::new(dir)).await?;
    match (*verb, rest) {
        ("up", ["--", command @ ..]) => {
            let ports = (port("MILLRACE_PG_PORT", 54329)?, port("MILLRACE_REDIS_PORT", 63799)?);
            let home = Home::at(dir.join("up")).await?;
            beside(&home, ports, true, command).await
        }
        ("test", ["--fsync", "--", command @ ..]) => test(&dir, true, command).await,
        ("test", ["--", command @ ..]) => test(&dir, false, command).await,
        ("psql", args) => psql(&Home::at(dir.join("up")).await?, args),
        ("stop", []) => {
            stop_left_over(&Home::at(dir.join("up")).await?).await?;
            Ok(0)
        }
        ("receive", [address]) => receiver::run(address).await.map(|()| 0),
        _ => bail!("use it through ./dev"),
    }
}

/// The folder of the servers' data, which their user must be able to enter. If that is not possible, it becomes a link
/// to a folder below /var/lib.
async fn place(dir: &Path) -> Result<PathBuf> {
    if !dir.exists() {
        let parent = dir.parent().context("it has a parent")?;
        fs::create_dir_all(parent)?;
        if Home::can_enter(parent).await? {
            fs::create_dir(dir)?;
        } else {
            let there =
                Path::new("/var/lib/millrace").join(parent.to_string_lossy().trim_matches('/').replace('/', "-"));
            println!(
                "The user that runs Postgres for root cannot enter {}, so the data is in {}",
                dir.display(),
                there.display()
            );
            fs::create_dir_all(&there)?;
            _ = fs::remove_file(dir); // Removes a link whose target was deleted.
            std::os::unix::fs::symlink(there, dir)?;
        }
    }
    Ok(dir.canonicalize()?)
}

#[expect(clippy::disallowed_methods, reason = "a tool of developers, which has no settings but these two")]
fn port(variable: &str, default: u16) -> Result<u16> {
    let Ok(port) = env::var(variable) else { return Ok(default) };
    port.parse().with_context(|| format!("{variable} is not a port number: {port}"))
}

/// Starts temporary servers on free ports, so that tests can run beside `./dev up` and beside each other.
async fn test(dir: &Path, fsync: bool, command: &[&str]) -> Result<u8> {
    for old in fs::read_dir(dir)? {
        let old = old?.path();
        let Some(pid) = old.to_str().and_then(|path| path.rsplit_once("/test.")?.1.parse::<u32>().ok()) else {
            continue;
        };
        if !is_alive(pid) {
            let home = Home::at(old).await?;
            stop_left_over(&home).await?;
            home.clear(false).await?;
        }
    }
    let home = Home::at(dir.join(format!("test.{}", std::process::id()))).await?;
    let done = beside(&home, (free_port(), free_port()), fsync, command).await;
    home.clear(false).await?;
    done
}

fn is_alive(pid: u32) -> bool {
    let pid = pid.to_string();
    std::process::Command::new("kill")
        .args(["-0", &pid])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|sent| sent.success())
}

/// Starts both servers, runs the command, stops both, and returns the exit code of the command.
///
/// Commits wait for the disk only with `fsync`. fsync only matters for power loss, and tests do not simulate power
/// loss.
async fn beside(home: &Home, ports: (u16, u16), fsync: bool, command: &[&str]) -> Result<u8> {
    let [program, args @ ..] = command else { bail!("the command is missing") };
    let mut asked = Asked::listen()?;
    fs::set_permissions(&home.dir, Permissions::from_mode(0o700))?;
    let password = password(home)?;
    let fsync = if fsync { "fsync=on" } else { "fsync=off" };
    let mut postgres = Postgres::open(home, ports.0, &password, &[fsync]).await?;
    postgres.make_database(DATABASE).await?;
    println!("Postgres runs on port {}", ports.0);
    let mut redis = Redis::open(home, ports.1, Some(&password)).await?;
    println!("Redis runs on port {}", ports.1);

    let mut child = Command::new(program)
        .args(args)
        .env("SERVER_URL", postgres.url_to("").trim_end_matches('/'))
        .env("SERVER_REDIS_URL", redis.url())
        .env("PG_BIN", postgres.bin())
        .spawn()
        .with_context(|| program.to_string())?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            // A Ctrl-C in the terminal also reaches the command. A signal to this process alone is forwarded.
            alone = asked.next() => {
                if let Some(pid) = child.id().filter(|_| alone) {
                    Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
                }
            }
        }
    };
    redis.stop().await?;
    postgres.stop(Stop::Fast).await?;
    Ok(u8::try_from(status.code().unwrap_or(130)).unwrap_or(1))
}

/// The password of both servers, created once.
fn password(home: &Home) -> Result<String> {
    let file = home.dir.join("password");
    if let Ok(password) = fs::read_to_string(&file)
        && !password.is_empty()
    {
        return Ok(password.trim().to_owned());
    }
    let password = Uuid::new_v4().simple().to_string();
    fs::write(&file, &password)?;
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    home.give(&file)?;
    Ok(password)
}

async fn stop_left_over(home: &Home) -> Result<()> {
    Redis::stop_left_over(home).await?;
    Postgres::stop_left_over(home).await
}

fn psql(home: &Home, args: &[&str]) -> Result<u8> {
    let password =
        fs::read_to_string(home.dir.join("password")).context("there is no database yet; run ./dev up first")?;
    let port = port("MILLRACE_PG_PORT", 54329)?.to_string();
    let mut psql = std::process::Command::new(postgres_bin(home).join("psql"));
    psql.env("PGPASSWORD", password.trim()).args(["-h", "127.0.0.1", "-p", &port, "-U", "millrace"]);
    // Without arguments, psql opens the database. Arguments may name another one.
    Err(psql.env("PGDATABASE", DATABASE).args(args).exec()).context("psql")
}
