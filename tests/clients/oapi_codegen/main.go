// Uses the client that oapi-codegen generates from the OpenAPI document.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"

	"ticketing/oapi_codegen/client"
)

var (
	api        *client.ClientWithResponses
	ctx        = context.Background()
	propertyId = os.Getenv("PROPERTY_ID")
	ticketId   string
)

func main() {
	withKey := client.WithRequestEditorFn(func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
		return nil
	})
	var err error
	if api, err = client.NewClientWithResponses(os.Getenv("BASE_URL"), withKey); err != nil {
		panic(err)
	}
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
		perPage := int64(2)
		answer, err := api.ListTicketsWithResponse(ctx, &client.ListTicketsParams{
			Page: &page, PerPage: &perPage, PropertyId: &[]string{propertyId},
		})
		if err != nil {
			return err
		}
		if answer.JSON200 == nil {
			return unexpected(answer.StatusCode(), answer.Body)
		}
		pages = *answer.JSON200.Meta.Pagination.TotalPages
		for _, ticket := range answer.JSON200.Data {
			found = append(found, ticket.Id)
		}
	}
	return requireAll(found)
}

func listByCursor() error {
	var found []string
	cursor, perPage := "", int64(2)
	for {
		answer, err := api.ListTicketsWithResponse(ctx, &client.ListTicketsParams{
			Cursor: &cursor, PerPage: &perPage, PropertyId: &[]string{propertyId},
			Status: &[]client.ListTicketsParamsStatus{"open", "in_progress"},
		})
		if err != nil {
			return err
		}
		if answer.JSON200 == nil {
			return unexpected(answer.StatusCode(), answer.Body)
		}
		for _, ticket := range answer.JSON200.Data {
			found = append(found, ticket.Id)
		}
		pagination := answer.JSON200.Meta.Pagination
		if (pagination.Links.Next == nil) != (pagination.NextCursor == nil) {
			return fmt.Errorf("links.next and next_cursor differ: %+v", pagination)
		}
		if pagination.NextCursor == nil {
			return requireAll(found)
		}
		cursor = *pagination.NextCursor
	}
}

func create() error {
	priority := client.NewTicketPriority("high")
	answer, err := api.CreateTicketWithResponse(ctx, &client.CreateTicketParams{}, client.NewTicket{
		Title: "Leak in Go", PropertyId: propertyId, Priority: &priority,
	})
	if err != nil {
		return err
	}
	if answer.JSON201 == nil {
		return unexpected(answer.StatusCode(), answer.Body)
	}
	ticket := answer.JSON201.Data
	ticketId = ticket.Id
	return require(ticket.Title == "Leak in Go" && ticket.Priority == "high" && ticket.Category == "general" &&
		ticket.Property.Id == propertyId && ticket.AssignedTo == nil && !ticket.CreatedAt.IsZero(), ticket)
}

func change() error {
	status, assignee := client.TicketChangesStatus("in_progress"), os.Getenv("ASSIGNEE_ID")
	answer, err := api.UpdateTicketWithResponse(ctx, ticketId, &client.UpdateTicketParams{}, client.TicketChanges{
		Status: &status, AssignedTo: &assignee,
	})
	if err != nil {
		return err
	}
	if answer.JSON200 == nil {
		return unexpected(answer.StatusCode(), answer.Body)
	}
	ticket := answer.JSON200.Data
	return require(ticket.Status == "in_progress" && ticket.AssignedTo.Id == assignee, ticket)
}

func comment() error {
	answer, err := api.CreateTicketCommentWithResponse(ctx, ticketId, &client.CreateTicketCommentParams{},
		client.NewComment{Text: "On my way"})
	if err != nil {
		return err
	}
	if answer.JSON201 == nil {
		return unexpected(answer.StatusCode(), answer.Body)
	}
	listed, err := api.ListTicketCommentsWithResponse(ctx, ticketId, &client.ListTicketCommentsParams{})
	if err != nil {
		return err
	}
	if listed.JSON200 == nil {
		return unexpected(listed.StatusCode(), listed.Body)
	}
	comments := listed.JSON200.Data
	return require(len(comments) == 1 && comments[0].Id == answer.JSON201.Data.Id &&
		*comments[0].Visibility == "public", comments)
}

func upload() error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "leak.txt")
	if err != nil {
		return err
	}
	if _, err = part.Write([]byte("a photograph")); err != nil {
		return err
	}
	if err = form.Close(); err != nil {
		return err
	}
	answer, err := api.UploadTicketAttachmentWithBodyWithResponse(ctx, ticketId,
		&client.UploadTicketAttachmentParams{}, form.FormDataContentType(), &body)
	if err != nil {
		return err
	}
	if answer.JSON201 == nil {
		return unexpected(answer.StatusCode(), answer.Body)
	}
	file := answer.JSON201.Data
	return require(file.Filename == "leak.txt" && file.Size == 12, file)
}

func webhook() error {
	answer, err := api.CreateWebhookWithResponse(ctx, &client.CreateWebhookParams{}, client.NewWebhook{
		Url: os.Getenv("WEBHOOK_URL"), Events: []client.NewWebhookEvents{"ticket.created"},
	})
	if err != nil {
		return err
	}
	if answer.JSON201 == nil {
		return unexpected(answer.StatusCode(), answer.Body)
	}
	registered := answer.JSON201.Data
	rotated, err := api.RotateWebhookSecretWithResponse(ctx, registered.Id, &client.RotateWebhookSecretParams{},
		client.NewSecret{})
	if err != nil {
		return err
	}
	if rotated.JSON200 == nil {
		return unexpected(rotated.StatusCode(), rotated.Body)
	}
	deleted, err := api.DeleteWebhookWithResponse(ctx, registered.Id, &client.DeleteWebhookParams{})
	if err != nil {
		return err
	}
	if deleted.JSON200 == nil {
		return unexpected(deleted.StatusCode(), deleted.Body)
	}
	return require(*registered.Secret != "" && *rotated.JSON200.Data.Secret != *registered.Secret, registered)
}

func refused() error {
	answer, err := api.CreateTicketWithResponse(ctx, &client.CreateTicketParams{}, client.NewTicket{
		Title: "Leak", PropertyId: "no-such-property",
	})
	if err != nil {
		return err
	}
	if answer.JSON422 == nil {
		return unexpected(answer.StatusCode(), answer.Body)
	}
	refusal := answer.JSON422.Error
	return require(refusal.Code == "validation_error" && len(refusal.Details["property_id"]) == 1 &&
		refusal.RequestId != "", refusal)
}

func receive() error {
	var post client.TicketCreatedV1
	if err := json.Unmarshal([]byte(os.Getenv("WEBHOOK_BODY")), &post); err != nil {
		return err
	}
	return require(post.Event == "ticket.created" && post.Data.Title == "Leak" && post.Data.AssignedTo == nil &&
		!post.Timestamp.IsZero(), post)
}

func unexpected(status int, body []byte) error {
	return fmt.Errorf("status %d: %s", status, body)
}
