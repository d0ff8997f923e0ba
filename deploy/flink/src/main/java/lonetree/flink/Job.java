package lonetree.flink;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.beam.model.jobmanagement.v1.JobApi.JobState;
import org.apache.beam.model.pipeline.v1.MetricsApi.MonitoringInfo;
import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.runners.core.metrics.MetricsContainerStepMap;
import org.apache.beam.runners.flink.FlinkBatchPortablePipelineTranslator;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.runners.flink.FlinkStreamingPortablePipelineTranslator;
import org.apache.beam.runners.flink.metrics.FlinkMetricContainer;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.runners.fnexecution.translation.PipelineTranslatorUtils;
import org.apache.beam.sdk.metrics.MetricsEnvironment;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.util.construction.PipelineOptionsTranslation;
import org.apache.beam.sdk.util.construction.resources.PipelineResources;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Struct;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.core.execution.JobClient;

/** One pipeline, from its description to its end on Flink. */
final class Job {
  private static final long ASK_S = 20;
  private static final String LOCAL = "[local]";
  private static final String LOOPBACK = "127.0.0.1";
  /** How often a cluster in this process looks at what was counted, ms. */
  private static final int LOOK_MS = 1000;
  /** What a cluster has anyhow; Flink itself must come from there. */
  private static final List<String> FLINKS = List.of("flink-", "frocksdbjni-", "slf4j-", "log4j-");

  private final String id;
  private final RunnerApi.Pipeline pipeline;
  private final Struct options;
  private final String master;

  private JobState.Enum state = JobState.Enum.STOPPED;
  private JobClient client;
  private boolean cancelled;
  private String failure;
  private Counted counted;
  private MetricsContainerStepMap last = new MetricsContainerStepMap();

  Job(String id, RunnerApi.Pipeline pipeline, Struct options, String master) {
    this.id = id;
    this.pipeline = pipeline;
    this.options = options;
    this.master = master;
  }

  /** Begins to run it, once. */
  synchronized void start() {
    if (state != JobState.Enum.STOPPED) {
      throw new IllegalStateException("it was started before: " + id);
    }
    become(JobState.Enum.STARTING);
    Thread thread = new Thread(this::run, id);
    thread.setDaemon(true);
    thread.start();
  }

  private void run() {
    try {
      JobClient begun = submit();
      boolean late;
      synchronized (this) {
        client = begun;
        late = cancelled;
        become(JobState.Enum.RUNNING);
      }
      if (late) {
        begun.cancel().get();
      }
      MetricsContainerStepMap found =
          begun.getJobExecutionResult().get().getAccumulatorResult(FlinkMetricContainer.ACCUMULATOR_NAME);
      synchronized (this) {
        last = found == null ? last : found;
        become(JobState.Enum.DONE);
      }
    } catch (Throwable error) {
      error.printStackTrace();
      synchronized (this) {
        failure = told(error);
        become(cancelled ? JobState.Enum.CANCELLED : JobState.Enum.FAILED);
      }
    }
  }

  private JobClient submit() throws Exception {
    FlinkPipelineOptions flink = PipelineOptionsTranslation.fromProto(options).as(FlinkPipelineOptions.class);
    if (FlinkPipelineOptions.AUTO.equals(flink.getFlinkMaster())) {
      flink.setFlinkMaster(master);
    }
    flink.setRunner(null);
    if (FlinkPipelineOptions.AUTO.equals(flink.getFlinkMaster()) || LOCAL.equals(flink.getFlinkMaster())) {
      flink.setFlinkMaster(LOCAL);
      counted = new Counted(withOwnPort(flink));
    } else {
      counted = new Counted(flink.getFlinkMaster());
    }
    JobInfo info =
        JobInfo.create(id, flink.getJobName(), "", PipelineOptionsTranslation.toProto(flink.as(PipelineOptions.class)));
    // a worker tells what it counted, no runner in this process does
    MetricsEnvironment.setMetricsSupported(false);
    RunnerApi.Pipeline bare = withoutFiles(pipeline);
    if (flink.isStreaming() || PipelineTranslatorUtils.hasUnboundedPCollections(bare)) {
      var translator = new FlinkStreamingPortablePipelineTranslator();
      var context = translator.createTranslationContext(info, flink, flink.getFlinkConfDir(), jars(flink));
      translator.translate(context, translator.prepareForTranslation(bare));
      return context.getExecutionEnvironment().executeAsync(flink.getJobName());
    }
    var translator = FlinkBatchPortablePipelineTranslator.createTranslator();
    var context = translator.createTranslationContext(info, flink, flink.getFlinkConfDir(), jars(flink));
    translator.translate(context, translator.prepareForTranslation(bare));
    return context.getExecutionEnvironment().executeAsync(flink.getJobName());
  }

  /** Gives a cluster in this process a REST API that is known; where it has a configuration, that says which. */
  private static String withOwnPort(FlinkPipelineOptions flink) throws IOException {
    if (flink.getFlinkConfDir() != null) {
      Configuration own = GlobalConfiguration.loadConfiguration(flink.getFlinkConfDir());
      return LOOPBACK + ":" + own.get(RestOptions.PORT);
    }
    int port = freePort();
    Path folder = Files.createTempDirectory("lonetree-flink-");
    String text =
        "rest.address: " + LOOPBACK + "\nrest.bind-address: " + LOOPBACK + "\nrest.port: " + port
            + "\nrest.bind-port: " + port + "\nmetrics.fetcher.update-interval: " + LOOK_MS + "\n";
    Path file = Files.writeString(folder.resolve("flink-conf.yaml"), text);
    // the last named is the first to go
    folder.toFile().deleteOnExit();
    file.toFile().deleteOnExit();
    flink.setFlinkConfDir(folder.toString());
    return LOOPBACK + ":" + port;
  }

  /** A port that nothing listens on, below those that systems hand out: nobody is given it before it is used. */
  private static int freePort() throws IOException {
    for (int tries = 1; ; tries++) {
      int port = ThreadLocalRandom.current().nextInt(20_000, 32_000);
      try (ServerSocket found = new ServerSocket(port)) {
        return found.getLocalPort();
      } catch (IOException taken) {
        if (tries >= 100) {
          throw taken;
        }
      }
    }
  }

  /** Workers have what they need; nothing was staged that they could fetch. */
  private static RunnerApi.Pipeline withoutFiles(RunnerApi.Pipeline pipeline) {
    RunnerApi.Pipeline.Builder bare = pipeline.toBuilder();
    bare.getComponentsBuilder()
        .getEnvironmentsMap()
        .forEach((name, environment) ->
            bare.getComponentsBuilder()
                .putEnvironments(name, environment.toBuilder().clearDependencies().build()));
    return bare.build();
  }

  /** The runner's jars, which a cluster gets with the job. */
  private static List<String> jars(FlinkPipelineOptions flink) {
    return PipelineResources.detectClassPathResourcesToStage(Job.class.getClassLoader(), flink).stream()
        .filter(path -> FLINKS.stream().noneMatch(Path.of(path).getFileName().toString()::startsWith))
        .collect(Collectors.toList());
  }

  private static String told(Throwable error) {
    StringWriter text = new StringWriter();
    error.printStackTrace(new PrintWriter(text));
    return text.toString();
  }

  private void become(JobState.Enum next) {
    state = next;
    notifyAll();
  }

  synchronized JobState.Enum state() {
    return state;
  }

  /** Why it failed; null where it did not. */
  synchronized String failure() {
    return state == JobState.Enum.FAILED ? failure : null;
  }

  /** Tells the state, and each that follows, until the end. */
  void follow(Consumer<JobState.Enum> told) throws InterruptedException {
    JobState.Enum before = null;
    do {
      synchronized (this) {
        while (state == before) {
          wait();
        }
        before = state;
      }
      told.accept(before);
    } while (!ended(before));
  }

  private static boolean ended(JobState.Enum state) {
    return Arrays.asList(JobState.Enum.DONE, JobState.Enum.FAILED, JobState.Enum.CANCELLED).contains(state);
  }

  /** Cancels it; where a checkpoint is kept, it can go on from there. */
  void cancel() throws Exception {
    try {
      metrics(); // nobody can ask afterwards
    } catch (Exception error) {
      error.printStackTrace();
    }
    JobClient running;
    synchronized (this) {
      cancelled = true;
      running = ended(state) ? null : client;
    }
    if (running != null) {
      running.cancel().get(ASK_S, TimeUnit.SECONDS);
    }
  }

  /** What workers counted so far; while it runs, since it was last restarted, as Flink keeps no more. */
  List<MonitoringInfo> metrics() throws Exception {
    JobClient running;
    synchronized (this) {
      running = ended(state) ? null : client;
    }
    if (running != null && running.getJobStatus().get(ASK_S, TimeUnit.SECONDS) == JobStatus.RUNNING) {
      MetricsContainerStepMap found = counted.of(running.getJobID().toHexString());
      synchronized (this) {
        last = ended(state) ? last : found;
      }
    }
    List<MonitoringInfo> infos = new ArrayList<>();
    synchronized (this) {
      last.getMonitoringInfos().forEach(infos::add);
    }
    return infos;
  }
}
