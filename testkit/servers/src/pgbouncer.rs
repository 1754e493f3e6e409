//! PgBouncer in front of a Postgres, as docs/scaling.md describes it: in transaction mode, unless it is too old for that.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use crate::home::{Home, free_port};
use crate::postgres::Access;
use crate::wait::Wait;

/// From this version on a prepared statement of a client is found on every connection to Postgres.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

pub struct PgBouncer {
    child: Child,
    port: u16,
    user: &'static str,
}

impl PgBouncer {
    /// `user` may connect without a password. The repository's `.dev/tools/pgbouncer` has the program, if `./dev test` had to
    /// build it.
    pub async fn start(home: &Home, repository: &Path, postgres: SocketAddr, user: &'static str) -> Result<Self> {
        let (folder, port) = (home.folder("pgbouncer")?, free_port());
        let built = repository.join(".dev/tools/pgbouncer/pgbouncer");
        let program = if built.exists() {
            // The user who runs the servers may not be able to read the repository.
            let copy = folder.join("pgbouncer");
            std::fs::copy(&built, &copy).context("the copy of PgBouncer")?;
            copy
        } else {
            PathBuf::from("pgbouncer")
        };
        std::fs::write(folder.join("users.txt"), format!("\"{user}\" \"\"\n"))?;
        let keeps_statements = version(&program).await? >= KEEPS_STATEMENTS;
        let mode = if keeps_statements {
            "pool_mode = transaction\nmax_prepared_statements = 500\ndefault_pool_size = 16"
        } else {
            println!("this PgBouncer is older than 1.21: in transaction mode it would mix up prepared statements");
            "pool_mode = session\ndefault_pool_size = 400"
        };
        let config = format!(
            "[databases]
* = host={} port={}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {}
{mode}
# The limits of our connections come with the role.
ignore_startup_parameters = options, extra_float_digits
max_client_conn = 1000
",
            postgres.ip(),
            postgres.port(),
            folder.join("users.txt").display(),
        );
        std::fs::write(folder.join("pgbouncer.ini"), config)?;
        let mut command = home.server(&program, "pgbouncer")?;
        let child = command.arg(folder.join("pgbouncer.ini")).spawn().context("PgBouncer; `./dev test` installs it")?;
        let log = home.log("pgbouncer");
        let wait = Wait::for_("PgBouncer listens", &log);
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            wait.a_moment().await?;
        }
        Ok(Self { child, port, user })
    }

    pub fn access(&self) -> Access {
        Access { user: self.user, addr: (Ipv4Addr::LOCALHOST, self.port).into(), schema: None }
    }

    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

async fn version(program: &Path) -> Result<(u32, u32)> {
    let output =
        Command::new(program).arg("--version").output().await.context("PgBouncer; `./dev test` installs it")?;
    ensure!(output.status.success(), "PgBouncer does not say its version");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.split_whitespace().nth(1).context("PgBouncer does not say its version")?;
    let mut parts = numbers.split('.').map(str::parse);
    Ok((parts.next().context("no version")??, parts.next().context("no version")??))
}
