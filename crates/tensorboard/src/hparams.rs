//! Hyper-parameters, which TensorBoard compares over runs. Its plugin keeps the first message of each kind that it reads of a
//! run, so that a run that may be continued must not have an end yet.

use std::collections::BTreeMap;
use std::time::SystemTime;

use prost::Message;

pub use crate::proto::HParam;
use crate::proto::{
    Dimension, Experiment, Form, HParamInfo, HParamValue, HParamsData, HParamsPluginData, MetricInfo,
    MetricName, SessionEndInfo, SessionStartInfo, TensorProto, TensorShapeProto, Value,
};
use crate::value::{metadata, value};
use crate::writer::seconds;

/// Returns the names to compare: those of `hparams`, and the tags of the scalars that are a run's `metrics`.
pub fn experiment(now: SystemTime, hparams: &BTreeMap<String, HParam>, metrics: &[&str]) -> Value {
    let hparam =
        |(name, value): (&String, &HParam)| HParamInfo { name: name.clone(), r#type: data_type(value) };
    let metric = |tag: &&str| MetricInfo { name: Some(MetricName { tag: (*tag).to_owned() }) };
    let experiment = Experiment {
        time_created_secs: seconds(now),
        hparam_infos: hparams.iter().map(hparam).collect(),
        metric_infos: metrics.iter().map(metric).collect(),
    };
    message("_hparams_/experiment", HParamsData::Experiment(experiment))
}

/// Returns the beginning of a run with these hyper-parameters.
pub fn session_start(now: SystemTime, hparams: BTreeMap<String, HParam>) -> Value {
    let hparams =
        hparams.into_iter().map(|(name, value)| (name, HParamValue { kind: Some(value) })).collect();
    let start = SessionStartInfo { hparams, start_time_secs: seconds(now) };
    message("_hparams_/session_start_info", HParamsData::SessionStart(start))
}

/// Returns the end of a run that is done.
pub fn session_end(now: SystemTime) -> Value {
    let end = SessionEndInfo { status: SessionEndInfo::SUCCESS, end_time_secs: seconds(now) };
    message("_hparams_/session_end_info", HParamsData::SessionEnd(end))
}

fn data_type(value: &HParam) -> i32 {
    match value {
        HParam::Number(_) => HParamInfo::FLOAT64,
        HParam::Text(_) => HParamInfo::STRING,
        HParam::Bool(_) => HParamInfo::BOOL,
    }
}

/// Returns a message to the plugin, under the tag that it looks for. The tensor, which every value needs, is empty.
fn message(tag: &str, data: HParamsData) -> Value {
    let content = HParamsPluginData { data: Some(data) }.encode_to_vec();
    let empty = TensorShapeProto { dim: vec![Dimension { size: 0 }] };
    let tensor = TensorProto { dtype: TensorProto::FLOAT, tensor_shape: Some(empty), string_val: Vec::new() };
    Value { metadata: Some(metadata("hparams", content)), ..value(tag, Form::Tensor(tensor)) }
}
