package lonetree.flink;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import org.apache.beam.model.jobmanagement.v1.JobApi;
import org.apache.beam.model.jobmanagement.v1.JobServiceGrpc;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.Server;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.Status;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.netty.NettyServerBuilder;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.stub.StreamObserver;

/**
 * Beam's job API before Beam's Flink runner, for where Beam's own job server can't be had.
 *
 * <p>Listens on the loopback address alone. Stages no files: workers must have what the pipeline needs. Jobs are known
 * for as long as this process lives; those on a cluster live on without it.
 */
public final class JobServer extends JobServiceGrpc.JobServiceImplBase {
  /** Beam's SDK asks for a job before it is run, and takes the answer, if there is one, with its time-out. */
  private final Map<String, Job> prepared = new ConcurrentHashMap<>();
  private final Map<String, Job> jobs = new ConcurrentHashMap<>();
  private final String master;

  private JobServer(String master) {
    this.master = master;
  }

  /** Serves until it is killed; words as Beam's Python SDK gives them: --flink-master, --job-port. */
  public static void main(String[] words) throws Exception {
    Map<String, String> said = new HashMap<>();
    for (int at = 0; at + 1 < words.length; at += 2) {
      said.put(words[at], words[at + 1]);
    }
    int port = Integer.parseInt(said.getOrDefault("--job-port", "8099"));
    Server server =
        NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
            // a pipeline holds the model
            .maxInboundMessageSize(Integer.MAX_VALUE)
            // streams of states wait in a thread each
            .executor(Executors.newCachedThreadPool())
            .addService(new JobServer(said.getOrDefault("--flink-master", "[local]")))
            .build()
            .start();
    System.out.println("Jobs are taken on port " + server.getPort());
    server.awaitTermination();
  }

  @Override
  public void describePipelineOptions(
      JobApi.DescribePipelineOptionsRequest asked,
      StreamObserver<JobApi.DescribePipelineOptionsResponse> answer) {
    answer.onNext(
        JobApi.DescribePipelineOptionsResponse.newBuilder()
            .addAllOptions(PipelineOptionsFactory.describe(PipelineOptionsFactory.getRegisteredOptions()))
            .build());
    answer.onCompleted();
  }

  @Override
  public void prepare(JobApi.PrepareJobRequest asked, StreamObserver<JobApi.PrepareJobResponse> answer) {
    String id = asked.getJobName() + "-" + UUID.randomUUID();
    prepared.put(id, new Job(id, asked.getPipeline(), asked.getPipelineOptions(), master));
    answer.onNext(JobApi.PrepareJobResponse.newBuilder().setPreparationId(id).build());
    answer.onCompleted();
  }

  @Override
  public void run(JobApi.RunJobRequest asked, StreamObserver<JobApi.RunJobResponse> answer) {
    String id = asked.getPreparationId();
    Job begun = prepared.remove(id);
    if (begun != null) {
      jobs.put(id, begun);
    }
    with(
        id,
        answer,
        job -> {
          job.start();
          answer.onNext(JobApi.RunJobResponse.newBuilder().setJobId(id).build());
        });
  }

  @Override
  public void getState(JobApi.GetJobStateRequest asked, StreamObserver<JobApi.JobStateEvent> answer) {
    with(asked.getJobId(), answer, job -> answer.onNext(event(job.state())));
  }

  @Override
  public void getStateStream(JobApi.GetJobStateRequest asked, StreamObserver<JobApi.JobStateEvent> answer) {
    with(asked.getJobId(), answer, job -> job.follow(state -> answer.onNext(event(state))));
  }

  @Override
  public void getMessageStream(
      JobApi.JobMessagesRequest asked, StreamObserver<JobApi.JobMessagesResponse> answer) {
    with(
        asked.getJobId(),
        answer,
        job -> {
          job.follow(state -> answer.onNext(
              JobApi.JobMessagesResponse.newBuilder().setStateResponse(event(state)).build()));
          if (job.failure() != null) {
            answer.onNext(
                JobApi.JobMessagesResponse.newBuilder()
                    .setMessageResponse(
                        JobApi.JobMessage.newBuilder()
                            .setImportance(JobApi.JobMessage.MessageImportance.JOB_MESSAGE_ERROR)
                            .setMessageText(job.failure()))
                    .build());
          }
        });
  }

  @Override
  public void getJobMetrics(
      JobApi.GetJobMetricsRequest asked, StreamObserver<JobApi.GetJobMetricsResponse> answer) {
    with(
        asked.getJobId(),
        answer,
        job -> answer.onNext(
            JobApi.GetJobMetricsResponse.newBuilder()
                .setMetrics(JobApi.MetricResults.newBuilder().addAllAttempted(job.metrics()))
                .build()));
  }

  @Override
  public void cancel(JobApi.CancelJobRequest asked, StreamObserver<JobApi.CancelJobResponse> answer) {
    with(
        asked.getJobId(),
        answer,
        job -> {
          job.cancel();
          answer.onNext(JobApi.CancelJobResponse.newBuilder().setState(job.state()).build());
        });
  }

  private interface Answering {
    void of(Job job) throws Exception;
  }

  private void with(String id, StreamObserver<?> answer, Answering answering) {
    Job job = jobs.get(id);
    if (job == null) {
      answer.onError(Status.NOT_FOUND.withDescription("no such job: " + id).asException());
      return;
    }
    try {
      answering.of(job);
      answer.onCompleted();
    } catch (Exception error) {
      answer.onError(Status.INTERNAL.withDescription(error.toString()).withCause(error).asException());
    }
  }

  private static JobApi.JobStateEvent event(JobApi.JobState.Enum state) {
    return JobApi.JobStateEvent.newBuilder().setState(state).build();
  }
}
