package argus.servers.root;

import java.util.List;
import org.elasticsearch.Build;
import org.elasticsearch.action.admin.cluster.state.ClusterStateResponse;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.rest.action.RestResponseListener;

/** {@code GET /}: clients ask it who they talk to. Elasticsearch's own is in a module that is not published. */
final class RootHandler extends BaseRestHandler {
    @Override
    public String getName() {
        return "main_action";
    }

    @Override
    public List<Route> routes() {
        return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
        var state = client.admin().cluster().prepareState(TimeValue.timeValueSeconds(30)).clear().setMetadata(true);
        return channel -> state.execute(new RestResponseListener<ClusterStateResponse>(channel) {
            @Override
            public RestResponse buildResponse(ClusterStateResponse answer) throws Exception {
                Build build = Build.current();
                var body = channel.newBuilder().startObject();
                body.field("name", answer.getClusterName().value());
                body.field("cluster_name", answer.getClusterName().value());
                body.field("cluster_uuid", answer.getState().metadata().clusterUUID());
                body.startObject("version");
                body.field("number", build.version());
                body.field("build_flavor", "default");
                body.field("build_snapshot", false);
                body.field("minimum_wire_compatibility_version", build.minWireCompatVersion());
                body.field("minimum_index_compatibility_version", build.minIndexCompatVersion());
                body.endObject();
                body.field("tagline", "You Know, for Search");
                return new RestResponse(RestStatus.OK, body.endObject());
            }
        });
    }
}
