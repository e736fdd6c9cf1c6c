//! The company's CA, the registry's certificate and the key that signs tokens, all by openssl's own program.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;

use crate::command::run;

/// Makes `server.pem`, `token.key` and `token.crt` in the folder; returns the CA's certificate.
pub(super) fn make(directory: &Path, ip: IpAddr) -> Result<String> {
    let script = r#"
set -e
cd "$1"
new() { openssl req -x509 -newkey "$@" -nodes -days 30; }
new ec -pkeyopt ec_paramgen_curve:P-256 -keyout ca.key -out ca.crt -subj '/CN=Testbed company CA' \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr \
    -subj '/CN=Testbed registry'
printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth\n' "$2" >server.ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
    -extfile server.ext -out server.crt
cat server.crt server.key >server.pem
new rsa:2048 -keyout token.key -out token.crt -subj '/CN=Testbed token issuer'
openssl pkey -in token.key -pubout -outform DER -out token.der
"#;
    run(
        "sh",
        &[
            "-c",
            script,
            "sh",
            &directory.to_string_lossy(),
            &ip.to_string(),
        ],
    )?;
    Ok(fs::read_to_string(directory.join("ca.crt"))?)
}
