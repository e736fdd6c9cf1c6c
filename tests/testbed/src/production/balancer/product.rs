//! The cloud's products, each an API of its own: a call says by its version which it means.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// The Classic Load Balancer.
    Slb,
    /// The Application Load Balancer.
    Alb,
    /// The Network Load Balancer.
    Nlb,
}

impl Product {
    pub(super) fn of(version: &str) -> Option<Self> {
        let all = [Self::Slb, Self::Alb, Self::Nlb];
        all.into_iter().find(|it| it.version() == version)
    }

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Slb => "2014-05-15",
            Self::Alb => "2020-06-16",
            Self::Nlb => "2022-04-30",
        }
    }

    /// As actions are called in rights: `alb:ListServerGroups`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Slb => "slb",
            Self::Alb => "alb",
            Self::Nlb => "nlb",
        }
    }

    pub(super) fn host(self) -> &'static str {
        match self {
            Self::Slb => "slb.aliyuncs.com",
            Self::Alb => "alb.cn-hangzhou.aliyuncs.com",
            Self::Nlb => "nlb.cn-hangzhou.aliyuncs.com",
        }
    }
}
