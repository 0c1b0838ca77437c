"""Addresses."""

from django.urls import path

from hello import views

urlpatterns = [path("", views.page), path("healthz", views.health)]
