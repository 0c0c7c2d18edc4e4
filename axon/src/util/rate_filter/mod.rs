//! Limits of rate, by holding messages back or by asking for data (Kamaelia: `Kamaelia/Util/RateFilter.py`).

mod message_rate_limit;
mod on_demand_limit;
mod pace;
mod request_control;

pub use self::message_rate_limit::MessageRateLimit;
pub use self::on_demand_limit::{OnDemandLimit, OnDemandLimitPorts};
pub use self::pace::ByteRate;
pub use self::request_control::{
    ByteRateRequestControl, RequestPorts, VariableByteRateRequestControl, VariableRequestPorts,
};
