//! Where a product's API is, by region: what Alibaba's own SDKs say, which is not one rule.

use url::Url;

/// Regions whose Classic Load Balancer is served at the central address: the table of
/// `alibabacloud_slb20140515` 3.3.31, November 2026.
const CENTRAL: [&str; 42] = [
    "ap-northeast-2-pop",
    "ap-southeast-1",
    "cn-beijing",
    "cn-beijing-finance-pop",
    "cn-beijing-gov-1",
    "cn-beijing-nu16-b01",
    "cn-edge-1",
    "cn-fujian",
    "cn-haidian-cm12-c01",
    "cn-hangzhou",
    "cn-hangzhou-bj-b01",
    "cn-hangzhou-finance",
    "cn-hangzhou-internal-prod-1",
    "cn-hangzhou-internal-test-1",
    "cn-hangzhou-internal-test-2",
    "cn-hangzhou-internal-test-3",
    "cn-hangzhou-test-306",
    "cn-hongkong",
    "cn-hongkong-finance-pop",
    "cn-north-2-gov-1",
    "cn-qingdao",
    "cn-shanghai",
    "cn-shanghai-et15-b01",
    "cn-shanghai-et2-b01",
    "cn-shanghai-finance-1",
    "cn-shanghai-inner",
    "cn-shanghai-internal-test-1",
    "cn-shenzhen",
    "cn-shenzhen-finance-1",
    "cn-shenzhen-inner",
    "cn-shenzhen-st4-d01",
    "cn-shenzhen-su18-b01",
    "cn-wuhan",
    "cn-yushanfang",
    "cn-zhangbei",
    "cn-zhangbei-na61-b01",
    "cn-zhangjiakou-na62-a01",
    "cn-zhengzhou-nebula-1",
    "eu-west-1-oxs",
    "rus-west-1-pop",
    "us-east-1",
    "us-west-1",
];

/// The public address of a product's API (`slb`, `alb`, `nlb`); `None` when that is no region.
pub(super) fn endpoint(product: &str, region: &str) -> Option<Url> {
    let host = match (product, region) {
        ("slb", "cn-huhehaote-nebula-1") => "slb-api.cn-qingdao-nebula.aliyuncs.com".into(),
        ("slb", region) if CENTRAL.contains(&region) => "slb.aliyuncs.com".into(),
        // alibabacloud_alb20200616 1.3.3.
        ("alb", "cn-hangzhou-finance") => "alb.cn-hangzhou.aliyuncs.com".into(),
        _ => format!("{product}.{region}.aliyuncs.com"),
    };
    Url::parse(&format!("https://{host}/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(product: &str, region: &str, expect: &str) {
        let address = endpoint(product, region).map(String::from);
        assert_eq!(address.unwrap(), format!("https://{expect}/"), "{region}");
    }

    #[test]
    fn regions_have_the_address_that_the_vendor_s_sdk_has() {
        check("slb", "cn-hangzhou", "slb.aliyuncs.com");
        check("slb", "cn-hangzhou-finance", "slb.aliyuncs.com");
        check("slb", "cn-shanghai-finance-1", "slb.aliyuncs.com");
        check("slb", "cn-beijing-gov-1", "slb.aliyuncs.com");
        check("slb", "cn-chengdu", "slb.cn-chengdu.aliyuncs.com");
        let nebula = "slb-api.cn-qingdao-nebula.aliyuncs.com";
        check("slb", "cn-huhehaote-nebula-1", nebula);
        check("alb", "cn-hangzhou", "alb.cn-hangzhou.aliyuncs.com");
        check("alb", "cn-hangzhou-finance", "alb.cn-hangzhou.aliyuncs.com");
        check(
            "nlb",
            "cn-hangzhou-finance",
            "nlb.cn-hangzhou-finance.aliyuncs.com",
        );
        assert_eq!(endpoint("slb", "not a region"), None);
    }
}
