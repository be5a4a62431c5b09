// Uses the Go client that openapi-generator generates from the OpenAPI document.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ticketing/openapi_generator_go/client"
)

var (
	api        *client.APIClient
	ctx        = context.WithValue(context.Background(), client.ContextAccessToken, os.Getenv("API_KEY"))
	propertyId = os.Getenv("PROPERTY_ID")
	ticketId   string
)

func main() {
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: os.Getenv("BASE_URL")}}
	api = client.NewAPIClient(configuration)
	report("list by page", listByPage)
	report("list by cursor", listByCursor)
	report("create", create)
	report("change", change)
	report("comment", comment)
	report("upload", upload)
	report("webhook", webhook)
	report("422", refused)
	report("receive", receive)
}

func listByPage() error {
	var found []string
	for page, pages := int64(1), int64(1); page <= pages; page++ {
		answer, _, err := api.TicketsAPI.ListTickets(ctx).Page(page).PerPage(2).PropertyId([]string{propertyId}).Execute()
		if err != nil {
			return err
		}
		pages = answer.Meta.Pagination.GetTotalPages()
		for _, ticket := range answer.Data {
			found = append(found, ticket.Id)
		}
	}
	return requireAll(found)
}

func listByCursor() error {
	var found []string
	for cursor := ""; ; {
		answer, _, err := api.TicketsAPI.ListTickets(ctx).Cursor(cursor).PerPage(2).PropertyId([]string{propertyId}).
			Status([]string{"open", "in_progress"}).Execute()
		if err != nil {
			return err
		}
		for _, ticket := range answer.Data {
			found = append(found, ticket.Id)
		}
		pagination := answer.Meta.Pagination
		if pagination.Links.HasNext() != (pagination.NextCursor.Get() != nil) {
			return fmt.Errorf("links.next and next_cursor differ: %+v", pagination)
		}
		if pagination.NextCursor.Get() == nil {
			return requireAll(found)
		}
		cursor = *pagination.NextCursor.Get()
	}
}

func create() error {
	body := client.NewNewTicket("Leak in Go", propertyId)
	body.SetPriority("high")
	answer, _, err := api.TicketsAPI.CreateTicket(ctx).NewTicket(*body).Execute()
	if err != nil {
		return err
	}
	ticket := answer.Data
	ticketId = ticket.Id
	return require(ticket.Title == "Leak in Go" && ticket.Priority == "high" && ticket.Category == "general" &&
		ticket.Property.Id == propertyId && ticket.AssignedTo.Get() == nil && !ticket.CreatedAt.IsZero(), ticket)
}

func change() error {
	body := client.NewTicketChanges()
	body.SetStatus("in_progress")
	body.SetAssignedTo(os.Getenv("ASSIGNEE_ID"))
	answer, _, err := api.TicketsAPI.UpdateTicket(ctx, ticketId).TicketChanges(*body).Execute()
	if err != nil {
		return err
	}
	assignee := answer.Data.AssignedTo.Get()
	if err := require(answer.Data.Status == "in_progress" && assignee.Id == os.Getenv("ASSIGNEE_ID"), answer); err != nil {
		return err
	}
	cleared := client.NewTicketChanges()
	cleared.SetAssignedToNil()
	answer, _, err = api.TicketsAPI.UpdateTicket(ctx, ticketId).TicketChanges(*cleared).Execute()
	if err != nil {
		return err
	}
	return require(answer.Data.AssignedTo.Get() == nil, answer)
}

func comment() error {
	answer, _, err := api.TicketsAPI.CreateTicketComment(ctx, ticketId).
		NewComment(*client.NewNewComment("On my way")).Execute()
	if err != nil {
		return err
	}
	listed, _, err := api.TicketsAPI.ListTicketComments(ctx, ticketId).Execute()
	if err != nil {
		return err
	}
	comments := listed.Data
	return require(len(comments) == 1 && comments[0].Id == answer.Data.Id &&
		comments[0].GetVisibility() == "public", comments)
}

func upload() error {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("leak-%d.txt", os.Getpid()))
	if err := os.WriteFile(path, []byte("a photograph"), 0o600); err != nil {
		return err
	}
	defer os.Remove(path)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	answer, _, err := api.TicketsAPI.UploadTicketAttachment(ctx, ticketId).File(file).Execute()
	if err != nil {
		return err
	}
	return require(answer.Data.Filename == filepath.Base(path) && answer.Data.Size == 12, answer)
}

func webhook() error {
	answer, _, err := api.WebhooksAPI.CreateWebhook(ctx).
		NewWebhook(*client.NewNewWebhook(os.Getenv("WEBHOOK_URL"), []string{"ticket.created"})).Execute()
	if err != nil {
		return err
	}
	rotated, _, err := api.WebhooksAPI.RotateWebhookSecret(ctx, answer.Data.Id).NewSecret(*client.NewNewSecret()).Execute()
	if err != nil {
		return err
	}
	if _, _, err = api.WebhooksAPI.DeleteWebhook(ctx, answer.Data.Id).Execute(); err != nil {
		return err
	}
	return require(answer.Data.GetSecret() != "" && rotated.Data.GetSecret() != answer.Data.GetSecret(), rotated)
}

func refused() error {
	_, response, err := api.TicketsAPI.CreateTicket(ctx).
		NewTicket(*client.NewNewTicket("Leak", "no-such-property")).Execute()
	var failure *client.GenericOpenAPIError
	if !errors.As(err, &failure) || response.StatusCode != 422 {
		return fmt.Errorf("not refused with 422: %v", err)
	}
	body, isError := failure.Model().(client.Error)
	if !isError {
		return fmt.Errorf("the error has the type %T", failure.Model())
	}
	return require(body.Error.Code == "validation_error" && len(body.Error.Details["property_id"]) == 1 &&
		body.Error.RequestId != "", body)
}

func receive() error {
	var post client.TicketCreatedV1
	if err := json.Unmarshal([]byte(os.Getenv("WEBHOOK_BODY")), &post); err != nil {
		return err
	}
	return require(post.Event == "ticket.created" && post.Data.Title == "Leak" && post.Data.AssignedTo.Get() == nil &&
		!post.Timestamp.IsZero(), post)
}
