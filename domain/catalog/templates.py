"""Templates of billable units. Put here: the units products of each type usually have, as data. Keep out: storing them.

A unit made from a template has the template's name and key. The same name means the same template for every type of product,
so that two products share the unit. `STARTERS` are the keys a new product of the type begins with; they are the required ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.catalog.units import Unit


@dataclass(frozen=True, slots=True)
class Template:
    """A unit as it would be made. aggregation: see domain.catalog.units.AGGREGATIONS."""

    name: str
    key: str
    aggregation: str
    event_field: str
    unit_label: str
    description: str

    def unit(self) -> Unit:
        """The unit this template makes."""
        types = tuple(kind for kind, keys in KEYS.items() if self.key in keys)
        return Unit(
            key=self.key,
            name=self.name,
            aggregation=self.aggregation,
            unit_label=self.unit_label,
            event_field=self.event_field,
            product_types=types,
            description=self.description,
            category=_CATEGORIES.get(self.unit_label, "usage"),
            required=any(self.key in STARTERS[kind] for kind in types),
        )


_CATEGORIES = {
    "tokens": "tokens", "bytes": "data", "ms": "time", "s": "time", "min": "time", "h": "time",
    "errors": "quality", "users": "reach", "agents": "reach", "sessions": "reach",
}  # fmt: skip

_ALL = (
    # Requests and what they carry
    Template("API Calls", "api_calls", "COUNT", "request_count", "calls", "Requests that were answered"),
    Template("Request Size", "request_bytes", "SUM", "request_bytes", "bytes", "Bytes received in requests"),
    Template("Response Size", "response_bytes", "SUM", "response_bytes", "bytes", "Bytes sent in responses"),
    Template("Latency P95", "p95_latency_ms", "PERCENTILE_95", "latency_ms", "ms", "Time that 95 % of requests stay within"),
    Template("Data Transfer", "data_transfer", "SUM", "response_bytes", "bytes", "Bytes delivered"),
    Template("Active Users", "active_users", "UNIQUE", "user_id", "users", "Different users seen in the period"),
    Template("Compute Time", "compute_time", "SUM", "latency_ms", "ms", "Time spent on answering"),
    Template("Error Requests", "error_requests", "COUNT", "error_count", "errors", "Requests that failed"),
    # Agents
    Template("Agent Runs", "agent_runs", "COUNT", "run_count", "runs", "Runs of an agent from start to end"),
    Template("Input Tokens", "tokens_in", "SUM", "input_tokens", "tokens", "Tokens read by a model"),
    Template("Output Tokens", "tokens_out", "SUM", "output_tokens", "tokens", "Tokens written by a model"),
    Template("Session Duration", "session_seconds", "SUM", "session_seconds", "s", "Seconds of open sessions"),
    Template("Agent Sessions", "agent_sessions", "COUNT", "session_count", "sessions", "Sessions with an agent"),
    Template("Tool Calls", "tool_calls", "COUNT", "tool_call_count", "calls", "Tools called"),
    Template("Agent Steps", "agent_steps", "SUM", "step_count", "steps", "Steps taken within runs"),
    Template("Tokens Consumed", "tokens_consumed", "SUM", "total_tokens", "tokens", "Tokens read and written"),
    Template("Agent Tool Calls", "agent_tool_calls", "COUNT", "tool_call_count", "calls", "Tools called by an agent"),
    Template("Execution Minutes", "execution_minutes", "SUM", "execution_minutes", "min", "Minutes of execution"),
    Template("GPU Hours", "gpu_hours", "SUM", "gpu_hours", "h", "Hours of GPU time"),
    Template("Knowledge Queries", "knowledge_queries", "COUNT", "kb_query_count", "queries", "Look-ups in a knowledge base"),
    Template("Tasks Completed", "tasks_completed", "COUNT", "task_completed_count", "tasks", "Tasks brought to their end"),
    Template("Active Agents", "active_agents", "MAX", "concurrent_agents", "agents", "Most agents at work at the same time"),
    # Tool servers
    Template("Tool Invocations", "tool_invocations", "COUNT", "tool_call_count", "calls", "Tools invoked on the server"),
    Template("Active Sessions", "active_sessions", "UNIQUE", "session_id", "sessions", "Different sessions seen in the period"),
    Template("Unique Agents", "unique_agents", "UNIQUE", "agent_id", "agents", "Different agents seen in the period"),
    Template("MCP Tool Calls", "mcp_tool_calls", "COUNT", "tool_call_count", "calls", "Tools called over MCP"),
    Template("MCP Session Duration", "mcp_session_duration", "SUM", "duration_minutes", "min", "Minutes of MCP sessions"),
    Template("MCP Active Sessions", "mcp_active_sessions", "MAX", "concurrent_sessions", "sessions", "Most MCP sessions open at the same time"),
    Template("MCP Connected Agents", "mcp_connected_agents", "UNIQUE", "agent_id", "agents", "Different agents connected over MCP"),
    Template("MCP Input Tokens", "mcp_input_tokens", "SUM", "input_tokens", "tokens", "Tokens received over MCP"),
    Template("MCP Output Tokens", "mcp_output_tokens", "SUM", "output_tokens", "tokens", "Tokens returned over MCP"),
    Template("MCP Errors", "mcp_errors", "COUNT", "error_count", "errors", "MCP calls that failed"),
    Template("MCP P95 Latency", "mcp_p95_latency", "PERCENTILE_95", "response_time_ms", "ms", "Time that 95 % of MCP calls stay within"),
    # APIs made for agents
    Template("Agent Invocations", "agent_invocations", "COUNT", "invocation_count", "calls", "Invocations of an agent by API"),
    Template("Workflow Steps", "workflow_steps", "COUNT", "step_count", "steps", "Steps of workflows"),
    Template("Context Window Size", "context_window_size", "SUM", "context_tokens", "tokens", "Tokens of context carried along"),
    Template("Execution Duration", "execution_duration_ms", "SUM", "execution_duration_ms", "ms", "Time spent on execution"),
    Template("Agentic Requests", "agentic_requests", "COUNT", "request_count", "calls", "Requests made by agents"),
    Template("Agentic Steps", "agentic_steps", "COUNT", "agent_step_count", "steps", "Steps that requests set off"),
    Template("Agentic Tool Calls", "agentic_tool_calls", "COUNT", "tool_call_count", "calls", "Tools that requests call"),
    Template("Agentic Input Tokens", "agentic_input_tokens", "SUM", "input_tokens", "tokens", "Tokens read for requests"),
    Template("Agentic Output Tokens", "agentic_output_tokens", "SUM", "output_tokens", "tokens", "Tokens written for requests"),
    Template("Agentic Compute Time", "agentic_compute_time", "SUM", "latency_ms", "ms", "Time spent on requests"),
    Template("Agentic Data Transfer", "agentic_data_transfer", "SUM", "response_bytes", "bytes", "Bytes delivered to agents"),
    Template("Agentic Active Users", "agentic_active_users", "UNIQUE", "user_id", "users", "Different users behind the agents"),
    # Protocols: the keys are the names their SDKs send
    Template("GraphQL Operations", "graphql_api.operations", "COUNT", "operation_count", "operations", "Queries, mutations and subscriptions"),
    Template("GraphQL Complexity", "graphql_complexity", "SUM", "gqlComplexity", "points", "Complexity of all operations"),
    Template("gRPC Calls", "grpc_api.rpc_calls", "COUNT", "call_count", "calls", "Remote procedure calls"),
    Template("gRPC Messages", "grpc_messages", "SUM", "messageCount", "messages", "Messages within calls"),
    Template("WebSocket Messages", "websocket_api.message", "COUNT", "message_count", "messages", "Frames sent and received"),
    Template("WebSocket Connections", "websocket_api.connection_closed", "COUNT", "connection_count", "connections", "Connections that came to their end"),
    Template("WebSocket Connection Time", "websocket_connection_ms", "SUM", "durationMs", "ms", "Time that connections were open"),
    Template("MQTT Publishes", "mqtt_broker.publish", "COUNT", "publish_count", "messages", "Messages published to the broker"),
    Template("MQTT Deliveries", "mqtt_broker.deliver", "COUNT", "deliver_count", "messages", "Messages delivered by the broker"),
    Template("MQTT Subscriptions", "mqtt_broker.subscribe", "COUNT", "subscribe_count", "subscriptions", "Topics subscribed to"),
    Template("MQTT Connections", "mqtt_broker.connect", "COUNT", "connect_count", "connections", "Connections of clients"),
    Template("Payload Size", "payload_bytes", "SUM", "dataBytes", "bytes", "Bytes of payload"),
    Template("Execution Time", "execution_time_ms", "SUM", "executionDurationMs", "ms", "Time spent on operations"),
)  # fmt: skip

STARTERS = {
    "API": ("api_calls", "request_bytes", "response_bytes", "p95_latency_ms"),
    "AI_AGENT": ("agent_runs", "tokens_in", "tokens_out", "session_seconds"),
    "MCP_SERVER": ("tool_invocations", "session_seconds", "active_sessions", "tokens_in", "tokens_out"),
    "AGENTIC_API": ("api_calls", "agent_runs", "tokens_in", "tokens_out"),
    "GRAPHQL_API": ("graphql_api.operations", "graphql_complexity"),
    "GRPC_API": ("grpc_api.rpc_calls", "grpc_messages"),
    "WEBSOCKET_API": ("websocket_api.message", "websocket_api.connection_closed"),
    "MQTT_BROKER": ("mqtt_broker.publish", "mqtt_broker.deliver"),
}

KEYS = {
    "API": (*STARTERS["API"], "data_transfer", "active_users", "compute_time", "error_requests"),
    "AI_AGENT": (
        *STARTERS["AI_AGENT"], "agent_sessions", "tool_calls", "agent_steps", "tokens_consumed", "agent_tool_calls",
        "execution_minutes", "gpu_hours", "knowledge_queries", "tasks_completed", "active_agents",
    ),
    "MCP_SERVER": (
        *STARTERS["MCP_SERVER"], "unique_agents", "mcp_tool_calls", "mcp_session_duration", "mcp_active_sessions",
        "mcp_connected_agents", "mcp_input_tokens", "mcp_output_tokens", "mcp_errors", "mcp_p95_latency",
    ),
    "AGENTIC_API": (
        *STARTERS["AGENTIC_API"], "agent_invocations", "workflow_steps", "context_window_size", "execution_duration_ms",
        "agentic_requests", "agentic_steps", "agentic_tool_calls", "agentic_input_tokens", "agentic_output_tokens",
        "agentic_compute_time", "agentic_data_transfer", "agentic_active_users",
    ),
    "GRAPHQL_API": (*STARTERS["GRAPHQL_API"], "payload_bytes", "execution_time_ms", "active_users", "error_requests"),
    "GRPC_API": (*STARTERS["GRPC_API"], "payload_bytes", "execution_time_ms", "active_users", "error_requests"),
    "WEBSOCKET_API": (*STARTERS["WEBSOCKET_API"], "payload_bytes", "websocket_connection_ms", "active_users"),
    "MQTT_BROKER": (*STARTERS["MQTT_BROKER"], "mqtt_broker.subscribe", "mqtt_broker.connect", "payload_bytes"),
}  # fmt: skip
"""The templates of each type of product, by key; what a product of the type starts with comes first."""

_BY_KEY = {template.key: template for template in _ALL}
OF_TYPE = {kind: tuple(_BY_KEY[key] for key in keys) for kind, keys in KEYS.items()}
"""The templates of each type of product."""


def starters(product_type: str) -> tuple[Template, ...]:
    """What a new product of the type begins with."""
    return tuple(_BY_KEY[key] for key in STARTERS[product_type])
