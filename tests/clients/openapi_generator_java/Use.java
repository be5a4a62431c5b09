// Uses the Java client that openapi-generator generates from the OpenAPI document.

import com.google.gson.Gson;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.Configuration;
import org.openapitools.client.JSON;
import org.openapitools.client.api.TicketsApi;
import org.openapitools.client.api.WebhooksApi;
import org.openapitools.client.auth.HttpBearerAuth;
import org.openapitools.client.model.AttachmentView;
import org.openapitools.client.model.CommentView;
import org.openapitools.client.model.NewComment;
import org.openapitools.client.model.NewSecret;
import org.openapitools.client.model.NewTicket;
import org.openapitools.client.model.NewWebhook;
import org.openapitools.client.model.Pagination;
import org.openapitools.client.model.RegisteredWebhook;
import org.openapitools.client.model.TicketChanges;
import org.openapitools.client.model.TicketCreatedV1;
import org.openapitools.client.model.TicketSummary;
import org.openapitools.client.model.TicketSummaryPage;

public class Use {
    private static final String PROPERTY_ID = System.getenv("PROPERTY_ID");
    private static final String ASSIGNEE_ID = System.getenv("ASSIGNEE_ID");
    private static TicketsApi tickets;
    private static WebhooksApi webhooks;
    private static String ticketId;

    interface Operation {
        void use() throws Exception;
    }

    public static void main(String[] arguments) {
        ApiClient api = Configuration.getDefaultApiClient();
        api.setBasePath(System.getenv("BASE_URL"));
        ((HttpBearerAuth) api.getAuthentication("bearer")).setBearerToken(System.getenv("API_KEY"));
        tickets = new TicketsApi(api);
        webhooks = new WebhooksApi(api);
        report("list by page", Use::listByPage);
        report("list by cursor", Use::listByCursor);
        report("create", Use::create);
        report("change", Use::change);
        report("comment", Use::comment);
        report("upload", Use::upload);
        report("webhook", Use::webhook);
        report("422", Use::refused);
        report("receive", Use::receive);
        System.exit(0);  // OkHttp keeps threads
    }

    private static void listByPage() throws Exception {
        List<String> found = new ArrayList<>();
        long pages = 1;
        for (long page = 1; page <= pages; page++) {
            TicketSummaryPage answer = tickets.listTickets().page(page).perPage(2L).propertyId(List.of(PROPERTY_ID))
                .execute();
            pages = answer.getMeta().getPagination().getTotalPages();
            answer.getData().forEach(ticket -> found.add(ticket.getId()));
        }
        requireAll(found);
    }

    private static void listByCursor() throws Exception {
        List<String> found = new ArrayList<>();
        String cursor = "";
        while (cursor != null) {
            TicketSummaryPage answer = tickets.listTickets().cursor(cursor).perPage(2L).propertyId(List.of(PROPERTY_ID))
                .status(List.of("open", "in_progress")).execute();
            answer.getData().forEach(ticket -> found.add(ticket.getId()));
            Pagination pagination = answer.getMeta().getPagination();
            cursor = pagination.getNextCursor();
            require((pagination.getLinks().getNext() == null) == (cursor == null), pagination);
        }
        requireAll(found);
    }

    private static void create() throws Exception {
        NewTicket body = new NewTicket().title("Leak in Java").propertyId(PROPERTY_ID)
            .priority(NewTicket.PriorityEnum.HIGH);
        TicketSummary ticket = tickets.createTicket(body).execute().getData();
        ticketId = ticket.getId();
        require(ticket.getPriority() == TicketSummary.PriorityEnum.HIGH && ticket.getCategory().equals("general")
            && ticket.getAssignedTo() == null && ticket.getCreatedAt().getYear() > 2000, ticket);
    }

    private static void change() throws Exception {
        TicketChanges body = new TicketChanges().status(TicketChanges.StatusEnum.IN_PROGRESS).assignedTo(ASSIGNEE_ID);
        TicketSummary ticket = tickets.updateTicket(ticketId, body).execute().getData();
        require(ticket.getStatus() == TicketSummary.StatusEnum.IN_PROGRESS
            && ticket.getAssignedTo().getId().equals(ASSIGNEE_ID), ticket);
    }

    private static void comment() throws Exception {
        CommentView added = tickets.createTicketComment(ticketId, new NewComment().text("On my way")).execute().getData();
        List<CommentView> listed = tickets.listTicketComments(ticketId).execute().getData();
        require(listed.size() == 1 && listed.get(0).getId().equals(added.getId())
            && listed.get(0).getVisibility() == CommentView.VisibilityEnum.PUBLIC, listed);
    }

    private static void upload() throws Exception {
        Path path = Files.createTempFile("leak", ".txt");
        Files.writeString(path, "a photograph");
        File file = path.toFile();
        file.deleteOnExit();
        AttachmentView attachment = tickets.uploadTicketAttachment(ticketId, file).execute().getData();
        require(attachment.getFilename().equals(file.getName()) && attachment.getSize() == 12, attachment);
    }

    private static void webhook() throws Exception {
        NewWebhook body = new NewWebhook().url(System.getenv("WEBHOOK_URL"))
            .events(List.of(NewWebhook.EventsEnum.TICKET_CREATED));
        RegisteredWebhook registered = webhooks.createWebhook(body).execute().getData();
        RegisteredWebhook rotated = webhooks.rotateWebhookSecret(registered.getId(), new NewSecret()).execute().getData();
        webhooks.deleteWebhook(registered.getId()).execute();
        require(rotated.getSecret() != null && !rotated.getSecret().equals(registered.getSecret()), rotated);
    }

    private static void refused() throws Exception {
        NewTicket body = new NewTicket().title("Leak").propertyId("no-such-property");
        try {
            tickets.createTicket(body).execute();
        } catch (ApiException failure) {
            org.openapitools.client.model.Error error =
                JSON.deserialize(failure.getResponseBody(), org.openapitools.client.model.Error.class);
            require(failure.getCode() == 422 && error.getError().getCode().equals("validation_error")
                && error.getError().getDetails().get("property_id").size() == 1, error);
            return;
        }
        throw new IllegalStateException("The ticket was not refused.");
    }

    private static void receive() throws Exception {
        TicketCreatedV1 post = TicketCreatedV1.fromJson(System.getenv("WEBHOOK_BODY"));
        require(post.getEvent() == TicketCreatedV1.EventEnum.TICKET_CREATED && post.getData().getTitle().equals("Leak")
            && post.getData().getAssignedTo() == null && post.getTimestamp().getYear() > 2000, post);
    }

    private static void report(String operation, Operation use) {
        try {
            use.use();
            System.out.println("ok: " + operation);
        } catch (Exception error) {
            System.out.println(("failed: " + operation + ": " + error).replace("\n", " "));
        }
    }

    private static void require(boolean holds, Object value) {
        if (!holds) {
            throw new IllegalStateException("unexpected value: " + value);
        }
    }

    private static void requireAll(List<String> found) {
        List<String> expected = Arrays.asList(new Gson().fromJson(System.getenv("TICKET_IDS"), String[].class));
        found.sort(null);
        require(found.equals(expected), found);
    }
}
