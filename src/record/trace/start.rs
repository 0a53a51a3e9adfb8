//! Logs to stderr and spans to a collector: set up once, flushed at the end.
//!
//! # Why a runtime of its own
//! The exporter's HTTP client needs one, and the batch processor calls it from a plain thread. A busy gate must not starve
//! it, nor it the gate.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Telemetry;
use crate::record::trace::{FLUSH, TARGET};

/// Logs at this level unless `RUST_LOG` says otherwise.
const LEVEL: &str = "info";

/// Why logs and traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The endpoint is no URL.
    #[error(
        "`telemetry.otlp` cannot be used: {0}; write the collector's address, as `http://127.0.0.1:4318`"
    )]
    Endpoint(#[from] ExporterBuildError),
    /// The threads could not be started.
    #[error("cannot start the threads that send traces: {0}")]
    Threads(#[from] std::io::Error),
    /// Logs were set up before.
    #[error("logs are set up already: {0}")]
    Already(#[from] TryInitError),
}

/// Logs and traces as long as it lives; the last spans are sent when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    traces: Option<(SdkTracerProvider, Runtime)>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some((provider, runtime)) = self.traces.take() else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "The last traces could not be sent");
        }
        runtime.shutdown_background();
    }
}

/// Sets up logs to stderr and, where an endpoint is configured, traces to it. Once per process.
///
/// # Errors
/// The endpoint is no URL, or logs were set up before.
pub fn init(telemetry: &Telemetry) -> Result<Guard, TelemetryError> {
    let traces = telemetry.otlp.as_deref().map(traces).transpose()?;
    let registry = tracing_subscriber::registry().with(traces.as_ref().map(|(provider, _)| layer(provider)));
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVEL));
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Without the hint every line that a library might log would be looked at, for each call.
    let most = level.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let others = filter_fn(move |m| m.target() != TARGET && *m.level() <= most).with_max_level_hint(most);
    if telemetry.json_logs {
        registry.with(logs.json().with_filter(level).with_filter(others)).try_init()?;
    } else {
        registry.with(logs.with_filter(level).with_filter(others)).try_init()?;
    }
    Ok(Guard { traces })
}

fn traces(endpoint: &str) -> Result<(SdkTracerProvider, Runtime), TelemetryError> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build()?;
    let _entered = runtime.enter();
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(Duration::from_secs(10))
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/').trim_end_matches("/v1/traces")))
        .build()?;
    let exporter = OnRuntime { exporter: Arc::new(exporter), runtime: runtime.handle().clone() };
    Ok((provider().with_batch_exporter(exporter).build(), runtime))
}

/// Everything that reaches the provider was sampled before.
pub(super) fn provider() -> opentelemetry_sdk::trace::TracerProviderBuilder {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name("portcullis").with_attribute(version).build();
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_resource(resource)
}

/// The layer that turns our spans, and nobody else's, into OpenTelemetry's.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("portcullis"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(
            filter_fn(|m| m.is_span() && m.target() == TARGET && *m.level() <= LevelFilter::INFO)
                .with_max_level_hint(LevelFilter::INFO),
        )
}

/// Sends on the runtime that the HTTP client needs.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<OtlpExporter>,
    runtime: Handle,
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let sent = self.runtime.spawn(async move { exporter.export(batch).await });
        sent.await.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
