import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

// Objects of operators, one JSON array on standard input, held against the operators' own schemas.
const MODELS = { ScaledObject, PrometheusRule, ServiceMonitor };
const documents = JSON.parse(readFileSync(0, "utf8"));
for (const document of documents) new MODELS[document.kind](document).validate();
console.log(`${documents.length} objects`);
