//! The kernel's own tool for rules, as Docker calls it: `iptables` on PATH, whichever of its two kinds that is.

use std::{path::Path, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    error::FirewallError,
    table::{Family, Table},
};

/// `iptables` or `ip6tables`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool(&'static str);

/// Whether this host speaks it at all.
pub(super) fn is_used(family: Family) -> bool {
    family == Family::Four || Path::new("/proc/net/if_inet6").exists()
}

impl Tool {
    pub(super) fn of(family: Family) -> Self {
        match family {
            Family::Four => Self("iptables"),
            Family::Six => Self("ip6tables"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.0
    }

    /// All rules of the table `filter`.
    pub(super) async fn table(self) -> Result<Table, FirewallError> {
        let printed = self.run(self.0.to_owned(), &["-w", "-S"], "").await?;
        Ok(Table::read(&printed))
    }

    /// Carries changes out, all or none.
    pub(super) async fn restore(self, changes: &[String]) -> Result<(), FirewallError> {
        let text = format!("*filter\n{}\nCOMMIT\n", changes.join("\n"));
        let program = format!("{}-restore", self.0);
        self.run(program, &["-w", "--noflush"], &text)
            .await
            .map(drop)
    }

    async fn run(
        self,
        program: String,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, FirewallError> {
        let failed = |why: String| FirewallError::Tool {
            program: program.clone(),
            why,
        };
        let broken = |error: std::io::Error| failed(error.to_string());
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(broken)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await.map_err(broken)?;
        }
        let output = child.wait_with_output().await.map_err(broken)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}
