//! The endpoints that jobs may use, one row each: method, path, parameters, payload, act.
//!
//! Pure. What has no row is refused. A new row with a known act needs no other change; a new
//! [`Act`] does not compile before the handler carries it out.

use super::container::settings;
use super::object;
use super::refusal::Denied;

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Row {
    pub method: &'static str,
    /// After the version. `{name}` stands for one segment, `{image}` for one or more, `{path}` for
    /// two or more, `{any}` for the rest.
    pub path: &'static str,
    /// The parameters that are known, and how each is read.
    pub parameters: &'static [(&'static str, Kind)],
    pub payload: Payload,
    pub act: Act,
}

/// How the value of a parameter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// True or false, written as 1 or 0.
    Flag,
    /// Letters, digits and `_.:+-`.
    Word,
    /// Any text: the act judges it.
    Text,
    /// Text that may be given more than once.
    Many,
    /// Known, and refused unless it says nothing.
    Unset,
}

/// Reads a body and writes it anew.
pub(crate) type Reader = fn(&[u8]) -> Result<serde_json::Value, Denied>;

/// What the engine gets of a request's body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload {
    Nothing,
    /// JSON, as its reader wrote it anew.
    Json(Reader),
    /// A tar archive, as it is.
    Archive,
    /// JSON if there is a reader; then the connection goes on as a stream, if the client asks.
    Stream(Option<Reader>),
    /// The act reads the request itself.
    ByAct,
}

/// What the gate does with a request: whose thing it names, and what is forced on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Names nothing: passed on.
    Pass,
    /// What a job is told of the engine.
    Info,
    /// A list, filtered to what is the job's.
    List,
    /// A login to a registry.
    Login,
    /// No job has such a thing.
    NotFound,
    /// No job has any of them.
    Empty,
    /// The engine's versions, with the oldest that the gate speaks.
    Version,
    /// What the job's things take of the disk.
    Usage,
    BuildPrune,
    Build,
    Session,
    BuildKit,
    /// A look at an image that the job may use.
    Image,
    ImageList,
    ImagePull,
    ImageTag,
    ImagePush,
    ImageDelete,
    ImagePrune,
    ImageSave,
    ImageLoad,
    /// What a registry has under a name that the job may use.
    Distribution,
    /// On a container of the job's.
    Container,
    ContainerCreate,
    ContainerCommit,
    ContainerPrune,
    ContainerRename,
    ContainerDelete,
    /// On an exec in a container of the job's.
    ExecCreate,
    Exec,
    /// A look at a network of the job's.
    Network,
    NetworkCreate,
    /// Puts a container of the job's in a network of the job's, or takes it out.
    NetworkMember,
    NetworkDelete,
    NetworkPrune,
    /// On a volume of the job's.
    Volume,
    VolumeCreate,
    VolumePrune,
}

/// `METHOD "path" [parameter: kind, …] payload => act;`
macro_rules! rows {
    ($($method:ident $path:literal
        [$($name:literal: $kind:ident),* $(,)?] $payload:expr => $act:ident;)+) => {
        &[$(Row {
            method: stringify!($method),
            path: $path,
            parameters: &[$(($name, Kind::$kind)),*],
            payload: $payload,
            act: Act::$act,
        }),+]
    };
}

use Payload::{Archive, ByAct, Json, Nothing, Stream};

pub(crate) static TABLE: &[Row] = rows! {
    GET    "/_ping"                     [] Nothing => Pass;
    HEAD   "/_ping"                     [] Nothing => Pass;
    GET    "/version"                   [] Nothing => Version;
    GET    "/info"                      [] Nothing => Info;
    GET    "/events"                    ["since": Word, "until": Word, "filters": Text] Nothing => List;
    POST   "/auth"                      [] Json(object::login) => Login;
    GET    "/system/df"                 ["type": Many, "verbose": Flag] Nothing => Usage;

    POST   "/build"                     [
        "t": Many, "dockerfile": Text, "extrahosts": Many, "remote": Text, "q": Flag,
        "nocache": Flag, "cachefrom": Text, "pull": Flag, "rm": Flag, "forcerm": Flag,
        "memory": Word, "memswap": Word, "cpushares": Word, "cpusetcpus": Text,
        "cpusetmems": Text, "cpuperiod": Word, "cpuquota": Word, "buildargs": Text,
        "shmsize": Word, "squash": Unset, "labels": Text, "networkmode": Text,
        "platform": Text, "target": Text, "outputs": Text, "version": Word, "session": Word,
        "buildid": Word, "ulimits": Text, "cgroupparent": Unset, "isolation": Unset,
        "securityopt": Unset, "stream": Unset,
    ] Archive => Build;
    POST   "/build/cancel"              ["id": Word] Nothing => Pass;
    POST   "/build/prune"               [
        "all": Flag, "filters": Text, "keep-storage": Word, "reserved-space": Word,
        "max-used-space": Word, "min-free-space": Word,
    ] Nothing => BuildPrune;
    POST   "/session"                   [] ByAct => Session;
    POST   "/grpc"                      [] ByAct => BuildKit;

    GET    "/images/json"               [
        "all": Flag, "digests": Flag, "filters": Text, "filter": Unset, "only_ids": Flag,
        "shared-size": Flag, "manifests": Flag, "identity": Flag,
    ] Nothing => ImageList;
    POST   "/images/create"             [
        "fromImage": Text, "tag": Text, "platform": Text, "fromSrc": Text, "repo": Text,
        "message": Text, "changes": Many,
    ] ByAct => ImagePull;
    POST   "/images/prune"              ["filters": Text] Nothing => ImagePrune;
    GET    "/images/{image}/json"       [
        "size": Flag, "manifests": Flag, "platform": Text,
    ] Nothing => Image;
    GET    "/images/{image}/history"    ["platform": Text] Nothing => Image;
    POST   "/images/{image}/tag"        ["repo": Text, "tag": Text, "force": Flag] Nothing => ImageTag;
    POST   "/images/{image}/push"       ["tag": Text, "platform": Text] Nothing => ImagePush;
    DELETE "/images/{image}"            [
        "force": Flag, "noprune": Flag, "platforms": Many,
    ] Nothing => ImageDelete;
    GET    "/images/{image}/attestations" [
        "platform": Text, "type": Text, "statement": Flag,
    ] Nothing => Image;
    GET    "/images/get"                ["names": Many, "platform": Many] Nothing => ImageSave;
    GET    "/images/{image}/get"        ["platform": Many] Nothing => ImageSave;
    POST   "/images/load"               [
        "quiet": Flag, "platform": Many,
    ] Archive => ImageLoad;
    GET    "/distribution/{image}/json" [] Nothing => Distribution;

    GET    "/containers/json"           [
        "all": Flag, "limit": Word, "size": Flag, "filters": Text, "trunc_cmd": Flag,
        "since": Unset, "before": Unset,
    ] Nothing => List;
    POST   "/containers/create"         ["name": Word, "platform": Text] ByAct => ContainerCreate;
    POST   "/containers/prune"          ["filters": Text] Nothing => ContainerPrune;
    POST   "/commit"                    [
        "container": Text, "repo": Text, "tag": Text, "comment": Text, "author": Text,
        "pause": Flag, "changes": Many,
    ] Json(settings::config) => ContainerCommit;
    GET    "/containers/{name}/json"    ["size": Flag] Nothing => Container;
    GET    "/containers/{name}/logs"    [
        "follow": Flag, "stdout": Flag, "stderr": Flag, "since": Word, "until": Word,
        "timestamps": Flag, "tail": Word, "details": Flag,
    ] Nothing => Container;
    GET    "/containers/{name}/top"     ["ps_args": Word] Nothing => Container;
    GET    "/containers/{name}/stats"   ["stream": Flag, "one-shot": Flag] Nothing => Container;
    GET    "/containers/{name}/changes" [] Nothing => Container;
    GET    "/containers/{name}/export"  [] Nothing => Container;
    POST   "/containers/{name}/update"  [] Json(settings::update) => Container;
    POST   "/containers/{name}/start"   ["detachKeys": Text, "checkpoint": Unset] Nothing => Container;
    POST   "/containers/{name}/stop"    ["t": Word, "signal": Word] Nothing => Container;
    POST   "/containers/{name}/restart" ["t": Word, "signal": Word] Nothing => Container;
    POST   "/containers/{name}/kill"    ["signal": Word] Nothing => Container;
    POST   "/containers/{name}/wait"    ["condition": Word] Nothing => Container;
    POST   "/containers/{name}/resize"  ["h": Word, "w": Word] Nothing => Container;
    POST   "/containers/{name}/pause"   [] Nothing => Container;
    POST   "/containers/{name}/unpause" [] Nothing => Container;
    POST   "/containers/{name}/rename"  ["name": Word] Nothing => ContainerRename;
    POST   "/containers/{name}/attach"  [
        "detachKeys": Text, "logs": Flag, "stream": Flag, "stdin": Flag, "stdout": Flag,
        "stderr": Flag,
    ] Stream(None) => Container;
    GET    "/containers/{name}/archive" ["path": Text] Nothing => Container;
    HEAD   "/containers/{name}/archive" ["path": Text] Nothing => Container;
    PUT    "/containers/{name}/archive" [
        "path": Text, "noOverwriteDirNonDir": Flag, "copyUIDGID": Flag,
    ] Archive => Container;
    POST   "/containers/{name}/exec"    [] Json(object::exec) => ExecCreate;
    DELETE "/containers/{name}"         ["v": Flag, "force": Flag, "link": Unset] Nothing => ContainerDelete;

    GET    "/exec/{name}/json"          [] Nothing => Exec;
    POST   "/exec/{name}/resize"        ["h": Word, "w": Word] Nothing => Exec;
    POST   "/exec/{name}/start"         [] Stream(Some(object::exec_start)) => Exec;

    GET    "/networks"                  ["filters": Text] Nothing => List;
    GET    "/networks/"                 ["filters": Text] Nothing => List;
    POST   "/networks/create"           [] Json(object::network) => NetworkCreate;
    POST   "/networks/prune"            ["filters": Text] Nothing => NetworkPrune;
    GET    "/networks/{name}"           ["verbose": Flag, "scope": Word] Nothing => Network;
    POST   "/networks/{name}/connect"   [] Json(object::connect) => NetworkMember;
    POST   "/networks/{name}/disconnect" [] Json(object::disconnect) => NetworkMember;
    DELETE "/networks/{name}"           [] Nothing => NetworkDelete;

    GET    "/volumes"                   ["filters": Text] Nothing => List;
    GET    "/volumes/"                  ["filters": Text] Nothing => List;
    POST   "/volumes/create"            [] Json(object::volume) => VolumeCreate;
    POST   "/volumes/prune"             ["filters": Text] Nothing => VolumePrune;
    GET    "/volumes/{name}"            [] Nothing => Volume;
    DELETE "/volumes/{name}"            ["force": Flag] Nothing => Volume;

    GET    "/plugins"                   ["filters": Text] Nothing => Empty;
    // `docker inspect NAME` looks a name up among all kinds of things, also one that only an image can have.
    GET    "/containers/{path}/json"    ["size": Flag] Nothing => NotFound;
    GET    "/networks/{path}"           ["verbose": Flag, "scope": Word] Nothing => NotFound;
    GET    "/volumes/{path}"            [] Nothing => NotFound;
    GET    "/plugins/{any}"             [] Nothing => NotFound;
    GET    "/services/{any}"            ["insertDefaults": Flag] Nothing => NotFound;
    GET    "/tasks/{any}"               [] Nothing => NotFound;
    GET    "/nodes/{any}"               [] Nothing => NotFound;
    GET    "/secrets/{any}"             [] Nothing => NotFound;
    GET    "/configs/{any}"             [] Nothing => NotFound;
};

impl Row {
    /// The name that a path of this row holds; `None` if it is no path of this row.
    pub(crate) fn name<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some((before, kind, after)) = self.parts() else {
            return (self.path == path).then_some("");
        };
        let name = path.strip_prefix(before)?.strip_suffix(after)?;
        let is_sound = match kind {
            "name" => is_segment(name),
            "image" => name.split('/').all(is_segment),
            "path" => name.contains('/') && name.split('/').all(is_segment),
            _ => true,
        };
        is_sound.then_some(name)
    }

    /// The row's path with this in the place of its name.
    pub(crate) fn path_of(&self, subject: &str) -> String {
        match self.parts() {
            Some((before, _, after)) => format!("{before}{subject}{after}"),
            None => self.path.trim_end_matches('/').to_owned(),
        }
    }

    fn parts(&self) -> Option<(&'static str, &'static str, &'static str)> {
        let (before, rest) = self.path.split_once('{')?;
        let (kind, after) = rest.split_once('}')?;
        Some((before, kind, after))
    }
}

/// Empty segments, dot folders and control letters would move the path.
fn is_segment(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:@".contains(&byte);
    !matches!(text, "" | "." | "..") && text.bytes().all(letter)
}
