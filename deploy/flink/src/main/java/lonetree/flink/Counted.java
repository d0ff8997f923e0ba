package lonetree.flink;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.beam.runners.core.metrics.MetricsContainerImpl;
import org.apache.beam.runners.core.metrics.MetricsContainerStepMap;
import org.apache.beam.sdk.metrics.MetricName;

/**
 * What workers count while a job runs, out of Flink's REST API.
 *
 * <p>Beam's runner hands its metrics over when an operator closes, which a stream never does; but shows them to Flink
 * before that, under names that end in namespace and name. Flink looks at them each
 * {@code metrics.fetcher.update-interval}, and forgets them when it restarts the job.
 */
final class Counted {
  private static final String NAMESPACE = "lonetree";
  private static final Pattern NAME = Pattern.compile("(?:.*\\.)?" + NAMESPACE + "_([^.]+)");
  /** How Beam's gauges show themselves. */
  private static final Pattern GAUGE = Pattern.compile("GaugeResult\\{.*?value=(-?\\d+).*");
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final ObjectMapper JSON = new ObjectMapper();

  private final HttpClient http = HttpClient.newBuilder().connectTimeout(PATIENCE).build();
  private final String jobs;

  /** At a REST API of Flink, as host:port or URL. */
  Counted(String master) {
    this.jobs = (master.contains("://") ? master : "http://" + master) + "/jobs/";
  }

  /** Everything that was counted so far in a job. */
  MetricsContainerStepMap of(String job) throws IOException, InterruptedException {
    MetricsContainerStepMap found = new MetricsContainerStepMap();
    for (JsonNode vertex : get(job).path("vertices")) {
      String step = vertex.path("id").asText();
      for (int subtask = 0; subtask < vertex.path("parallelism").asInt(); subtask++) {
        String metrics = job + "/vertices/" + step + "/subtasks/" + subtask + "/metrics";
        List<String> names = new ArrayList<>();
        for (JsonNode metric : get(metrics)) {
          if (NAME.matcher(metric.path("id").asText()).matches()) {
            names.add(metric.path("id").asText());
          }
        }
        if (!names.isEmpty()) {
          String asked = URLEncoder.encode(String.join(",", names), StandardCharsets.UTF_8);
          for (JsonNode metric : get(metrics + "?get=" + asked)) {
            add(found.getContainer(step), metric.path("id").asText(), metric.path("value").asText());
          }
        }
      }
    }
    return found;
  }

  private static void add(MetricsContainerImpl container, String id, String value) {
    Matcher named = NAME.matcher(id);
    Matcher gauge = GAUGE.matcher(value);
    if (!named.matches()) {
      return;
    }
    MetricName name = MetricName.named(NAMESPACE, named.group(1));
    if (gauge.matches()) {
      container.getGauge(name).set(Long.parseLong(gauge.group(1)));
    } else if (value.matches("\\d+")) {
      container.getCounter(name).inc(Long.parseLong(value));
    }
  }

  private JsonNode get(String path) throws IOException, InterruptedException {
    HttpRequest request = HttpRequest.newBuilder(URI.create(jobs + path)).timeout(PATIENCE).build();
    HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IOException("Flink answers with " + answer.statusCode() + ": " + answer.body());
    }
    return JSON.readTree(answer.body());
  }
}
